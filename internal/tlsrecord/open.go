// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"bytes"
	"encoding/binary"
	"io"
)

// The one handshake message that a client can send after the handshake (section 4.6):
// tickets are sent by the server, and a certificate only on request.
const (
	typeKeyUpdate      = 24
	updateNotRequested = 0
	updateRequested    = 1
	keyUpdateLen       = 5 // type 24 | uint24 length 1 | request_update 0 or 1
)

// maxEmptyRecords limits consecutive records without application data, as crypto/tls
// does: each costs this side work and the peer next to nothing.
const maxEmptyRecords = 16

// Open opens the complete records of b, in place. It returns their application data,
// and the rest: the beginning of an incomplete record, which the caller puts before the
// bytes that arrive next. Both lie in b.
//
// An error comes with the data before it, and is final: [io.EOF] after the peer's
// close_notify, a [PeerAlert], or an [Alert] to be sent to the peer. Nothing is
// returned of a record that does not authenticate.
func (s *Session) Open(b []byte) (data, rest []byte, err error) {
	switch {
	case s.err != nil:
		return nil, nil, s.err
	case s.in.suite == nil:
		return nil, nil, ErrClosed
	}
	// An opened record is shorter than a sealed one, so data never reaches the bytes
	// that are still to be read.
	if len(b) > headerLen {
		data = b[headerLen:headerLen]
	}
	for rest = b; ; {
		size, err := recordSize(rest)
		if err != nil {
			return data, nil, s.fail(err)
		}
		if size == 0 || size > len(rest) {
			return data, rest, nil
		}
		content, err := s.openOne(rest[:size])
		if err != nil {
			return data, nil, s.fail(err)
		}
		data = append(data, content...)
		rest = rest[size:]
	}
}

// ReleaseReadKey releases the expanded key that opens records. It is expanded again
// when needed: a connection that receives little holds one less.
func (s *Session) ReleaseReadKey() { s.in.aead = nil }

// ReleaseWriteKey releases the expanded key that seals records, as
// [Session.ReleaseReadKey] does for the other direction.
func (s *Session) ReleaseWriteKey() { s.out.aead = nil }

// fail makes an error final. A PeerAlert is not answered; a close_notify can be.
func (s *Session) fail(err error) error {
	s.in.wipe()
	if _, ok := err.(PeerAlert); ok {
		s.out.wipe()
	}
	s.err = err
	return err
}

// recordSize returns the size of the record at the front of b, with its header, or 0
// while the header is incomplete.
func recordSize(b []byte) (int, error) {
	if len(b) < headerLen {
		return 0, nil
	}
	// The version in the header has no meaning (section 5.1); it is authenticated with
	// the record.
	if b[0] != typeApplicationData {
		return 0, UnexpectedMessage // after the handshake all records are protected, and change_cipher_spec is not allowed
	}
	n := int(binary.BigEndian.Uint16(b[3:]))
	switch {
	case n > maxFragment:
		return 0, RecordOverflow
	case n < 1+tagLen:
		return 0, BadRecordMAC // no sealed record is so short
	}
	return headerLen + n, nil
}

// openOne opens a complete record and acts on it. It returns its application data.
func (s *Session) openOne(record []byte) ([]byte, error) {
	contentType, content, err := s.decrypt(record)
	if err != nil {
		return nil, err
	}
	if contentType == typeApplicationData && len(content) > 0 && s.messageLen == 0 {
		s.emptyRecords = 0
		return content, nil
	}
	if s.emptyRecords++; s.emptyRecords > maxEmptyRecords {
		return nil, UnexpectedMessage
	}
	switch {
	case contentType == typeHandshake:
		return nil, s.handshake(content)
	case s.messageLen > 0:
		return nil, UnexpectedMessage // nothing can come between the records of a handshake message (section 5.1)
	case contentType == typeAlert:
		return nil, alert(content)
	case contentType == typeApplicationData:
		return nil, nil // an empty record, which is allowed
	}
	return nil, UnexpectedMessage
}

// decrypt authenticates a record and returns its content without the padding (section
// 5.2).
func (s *Session) decrypt(record []byte) (contentType byte, content []byte, err error) {
	h := &s.in
	if h.seq == maxSeq {
		return 0, nil, UnexpectedMessage // the peer should have updated its keys
	}
	header, fragment := record[:headerLen], record[headerLen:]
	inner, err := h.cipher().Open(fragment[:0], h.nonce(), fragment, header)
	h.nonce()
	h.seq++
	switch {
	case err != nil:
		return 0, nil, BadRecordMAC
	case len(inner) > MaxPlaintext+1:
		return 0, nil, RecordOverflow
	}
	for i := len(inner) - 1; i >= 0; i-- {
		if inner[i] != 0 {
			return inner[i], inner[:i], nil
		}
	}
	return 0, nil, UnexpectedMessage // no content type
}

// alert returns the meaning of the peer's alert (section 6) as an error.
func alert(content []byte) error {
	switch len(content) {
	case 0:
		return UnexpectedMessage // it must not be empty (section 5.4)
	case 2:
	default:
		return DecodeError
	}
	switch a := Alert(content[1]); a {
	case CloseNotify:
		return io.EOF
	case UserCanceled:
		return nil // a close_notify follows
	default:
		return PeerAlert(a)
	}
}

// handshake takes bytes of the stream of handshake messages. A client can send one
// message: KeyUpdate.
func (s *Session) handshake(content []byte) error {
	if len(content) == 0 {
		return UnexpectedMessage // they must not be empty (sections 5.1 and 5.4)
	}
	n := copy(s.message[s.messageLen:], content)
	s.messageLen += uint8(n)
	m := &s.message
	switch {
	case m[0] != typeKeyUpdate:
		return UnexpectedMessage
	case !startsLengthOne(m[1:max(1, min(s.messageLen, 4))]):
		return DecodeError // now, without waiting for the rest of such a message (section 6.2)
	case s.messageLen < keyUpdateLen:
		return nil
	case n < len(content):
		return UnexpectedMessage // keys change at the end of a record (section 5.1)
	case m[4] > updateRequested:
		return IllegalParameter
	}
	s.messageLen = 0
	s.in.update()
	s.updates++ // cannot overflow: no buffer holds so many records
	s.mustUpdate = s.mustUpdate || m[4] == updateRequested
	return nil
}

// startsLengthOne reports whether b is the beginning of a uint24 of value 1, the length
// in a handshake message (section 4).
func startsLengthOne(b []byte) bool { return bytes.HasPrefix([]byte{0, 0, 1}, b) }
