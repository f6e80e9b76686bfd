// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"encoding/binary"
	"errors"
	"io"
)

// Sizes of a record (sections 5.1 and 5.2), in bytes. Overhead is what sealing adds.
const (
	headerLen    = 5
	tagLen       = 16                 // of AES-GCM
	MaxPlaintext = 1 << 14            // of one record
	maxFragment  = MaxPlaintext + 256 // of a sealed record, without its header
	Overhead     = headerLen + 1 + tagLen
)

// Content types (section 5.1).
const (
	typeAlert           = 21
	typeHandshake       = 22
	typeApplicationData = 23
)

// A Session is the record layer of one connection after its handshake. It is owned by
// the connection's goroutine. The zero Session, and one that has failed or was wiped,
// opens and seals nothing.
type Session struct {
	in, out half
	// mustUpdate is set when the peer has requested a key update of this side, which
	// comes before the next application data. Several requests while nothing is sealed
	// cause one update (section 4.6.3).
	mustUpdate   bool
	emptyRecords uint8  // consecutive records without application data
	updates      uint16 // key updates of the peer since TakeUpdates
	messageLen   uint8  // bytes of message that have arrived
	message      [keyUpdateLen]byte
	err          error // why nothing is opened any more
}

// ErrClosed is returned by a session that seals nothing more.
var ErrClosed = errors.New("tlsrecord: closed")

// Wipe overwrites all secrets. The session then seals and opens nothing.
func (s *Session) Wipe() {
	s.in.wipe()
	s.out.wipe()
	if s.err == nil {
		s.err = ErrClosed
	}
}

// TakeUpdates returns how often the peer has updated its keys since the last call.
func (s *Session) TakeUpdates() int {
	n := s.updates
	s.updates = 0
	return int(n)
}

// Err returns why nothing is opened any more, or nil.
func (s *Session) Err() error { return s.err }

// failed reports whether the session has ended by an error. After the peer's
// close_notify it can still seal data.
func (s *Session) failed() bool { return s.err != nil && s.err != io.EOF }

// appendHeader appends a record's header. n is the length of the sealed fragment.
//
//	opaque_type = 23 | legacy_record_version = 0x0303 | uint16 length
func appendHeader(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint16(append(dst, typeApplicationData, 3, 3), uint16(n))
}
