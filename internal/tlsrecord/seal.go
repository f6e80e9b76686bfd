// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"encoding/binary"
	"slices"
)

// rekeyAfter is how many records are sealed with one key. Section 5.5 allows AES-GCM
// about 24 million full ones.
const rekeyAfter = 1 << 24

// keyUpdate is the message that announces new keys of this side and requests none
// (section 4.6.3): type, uint24 length, update_not_requested.
var keyUpdate = []byte{typeKeyUpdate, 0, 0, 1, updateNotRequested}

// BeginRecord begins a record of application data at the end of dst. The caller appends
// up to [MaxPlaintext] bytes to the result, and calls EndRecord with it and start. A
// key update that is due is sealed before the record. After an error it returns
// [ErrClosed].
//
// Plaintext and record share memory, so that what is sent is copied once.
func (s *Session) BeginRecord(dst []byte) (_ []byte, start int, err error) {
	if s.out.suite == nil || s.failed() {
		return dst, 0, ErrClosed
	}
	if s.mustUpdate || s.out.seq >= rekeyAfter {
		dst = s.seal(dst, typeHandshake, keyUpdate)
		s.out.update()
		s.mustUpdate = false
	}
	return appendHeader(dst, 0), len(dst), nil
}

// EndRecord seals the record that BeginRecord began.
func (s *Session) EndRecord(dst []byte, start int) []byte {
	return s.finish(dst, start, typeApplicationData)
}

// AppendAlert seals an alert, the last thing that the session seals (section 6.1).
// After [CloseNotify] the session still opens records. A session that has sealed an
// alert or was wiped appends nothing.
func (s *Session) AppendAlert(dst []byte, a Alert) []byte {
	if s.out.suite == nil {
		return dst
	}
	const warning, fatal = 1, 2
	level := byte(fatal)
	if a == CloseNotify {
		level = warning
	}
	dst = s.seal(dst, typeAlert, []byte{level, byte(a)})
	s.out.wipe()
	return dst
}

// seal appends a record of a few bytes.
func (s *Session) seal(dst []byte, contentType byte, content []byte) []byte {
	start := len(dst)
	dst = append(appendHeader(dst, 0), content...)
	return s.finish(dst, start, contentType)
}

// finish seals dst[start:], which is a header and plaintext, in place.
//
//	TLSInnerPlaintext = content | type | no padding
func (s *Session) finish(dst []byte, start int, contentType byte) []byte {
	h := &s.out
	if h.seq == maxSeq {
		panic("BUG: a key is used past rekeyAfter")
	}
	dst = append(slices.Grow(dst, 1+tagLen), contentType) // leaves room for the tag
	header, inner := dst[start:start+headerLen], dst[start+headerLen:]
	binary.BigEndian.PutUint16(header[3:], uint16(len(inner)+tagLen))
	sealed := h.cipher().Seal(inner[:0], h.nonce(), inner, header)
	h.nonce()
	h.seq++
	return dst[:start+headerLen+len(sealed)]
}
