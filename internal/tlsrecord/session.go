// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"encoding/binary"
	"errors"
	"io"
)

// Sizes of a record (RFC 8446 sections 5.1 and 5.2), in bytes.
const (
	headerLen    = 5
	tagLen       = 16                 // of AES-GCM
	MaxPlaintext = 1 << 14            // of one record
	maxFragment  = MaxPlaintext + 256 // of a record sealed, without its header
	Overhead     = headerLen + 1 + tagLen
)

// Content types (RFC 8446 section 5.1).
const (
	typeAlert           = 21
	typeHandshake       = 22
	typeApplicationData = 23
)

// A Session is the record layer of one connection after its handshake. The zero
// Session, and one that has failed or was wiped, opens and seals nothing.
type Session struct {
	in, out half
	// owesUpdate is set when the peer asked for new keys of ours, which must
	// change before the next application data. A peer that asks many times
	// while we are silent gets one (RFC 8446 section 4.6.3).
	owesUpdate bool
	useless    uint8  // records without data that came one after another
	updates    uint16 // since TakeUpdates
	messageLen uint8  // how much of message has come
	message    [keyUpdateLen]byte
	err        error // why nothing is opened any more
}

// ErrClosed says that a session seals nothing more.
var ErrClosed = errors.New("tlsrecord: closed")

// Wipe forgets all secrets. Nothing is sealed or opened after it.
func (s *Session) Wipe() {
	s.in.wipe()
	s.out.wipe()
	if s.err == nil {
		s.err = ErrClosed
	}
}

// TakeUpdates returns how often the peer has changed its keys since the last call.
func (s *Session) TakeUpdates() int {
	n := s.updates
	s.updates = 0
	return int(n)
}

// Err returns why nothing is opened any more, or nil.
func (s *Session) Err() error { return s.err }

// failed reports whether the session has ended by an error. After the peer's
// close_notify data may still be sealed.
func (s *Session) failed() bool { return s.err != nil && s.err != io.EOF }

// appendHeader appends a record's header. n is the length of the sealed fragment.
//
//	opaque_type = 23 | legacy_record_version = 0x0303 | uint16 length
func appendHeader(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint16(append(dst, typeApplicationData, 3, 3), uint16(n))
}
