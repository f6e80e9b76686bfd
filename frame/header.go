// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"encoding/binary"
	"math"

	"github.com/gobwas/ws"
)

// An OpCode is the type of a frame (RFC 6455 section 5.2).
type OpCode = ws.OpCode

// The opcodes of messages and of control frames.
const (
	OpText   = ws.OpText
	OpBinary = ws.OpBinary
	OpClose  = ws.OpClose
	OpPing   = ws.OpPing
	OpPong   = ws.OpPong
)

// MaxControlPayload is the maximum payload of a control frame, in bytes (section 5.5).
const MaxControlPayload = ws.MaxControlFramePayloadSize

// The frame header of RFC 6455 section 5.2:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-------+-+-------------+-------------------------------+
//	|F|R|R|R| opcode|M| length (7)  |    extended length (16/64)    |
//	|I|S|S|S|  (4)  |A|             |   if length is 126 or 127     |
//	|N|V|V|V|       |S|             |                               |
//	| |1|2|3|       |K|             |                               |
//	+-+-+-+-+-------+-+-------------+ - - - - - - - - - - - - - - - +
//	|      extended length, continued, if length is 127             |
//	+ - - - - - - - - - - - - - - - +-------------------------------+
//	|                               | masking key, if MASK is set   |
//	+-------------------------------+-------------------------------+
//	| masking key, continued        | payload                       |
//	+-------------------------------+ - - - - - - - - - - - - - - - +
const (
	finBit     = 0x80
	rsvBits    = 0x70
	opBits     = 0x0f
	maskBit    = 0x80
	lengthBits = 0x7f

	length16 = 126 // the length is in the next 2 bytes
	length64 = 127 // the length is in the next 8 bytes
)

// A header is a frame's header as received, allowed or not. Length is negative when the
// highest of its 64 bits is set.
type header struct {
	ws.Header
	size int // bytes the header takes
}

// consumeHeader reads a header from the front of b. n is its size in bytes, 0 when b
// ends before it.
func consumeHeader(b []byte) (h header, n int) {
	if len(b) < ws.MinHeaderSize {
		return header{}, 0
	}
	h.Fin = b[0]&finBit != 0
	h.Rsv = b[0] & rsvBits >> 4
	h.OpCode = OpCode(b[0] & opBits)
	h.Masked = b[1]&maskBit != 0
	length := b[1] & lengthBits
	h.size = encodedSize(length, h.Masked)
	if len(b) < h.size {
		return header{}, 0
	}
	switch length {
	case length16:
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
	case length64:
		h.Length = int64(binary.BigEndian.Uint64(b[2:]))
	default:
		h.Length = int64(length)
	}
	if h.Masked {
		h.Mask = [4]byte(b[h.size-4:])
	}
	return h, h.size
}

// encodedSize returns the size of a header with the given length bits and mask bit in
// its second byte.
func encodedSize(length byte, masked bool) int {
	size := ws.MinHeaderSize
	switch length {
	case length16:
		size += 2
	case length64:
		size += 8
	}
	if masked {
		size += 4
	}
	return size
}

// wholeIn reports whether b, the bytes after the header, begins with all of the payload
// of a control frame or of an unfragmented message.
func (h header) wholeIn(b []byte) bool {
	if h.Length > int64(len(b)) {
		return false
	}
	return h.OpCode.IsControl() || h.Fin && h.OpCode != ws.OpContinuation
}

// inPlace unmasks the payload at the front of b, in place, and returns the message.
func (h header) inPlace(b []byte) Message {
	payload := b[:h.Length:h.Length]
	if h.Masked {
		ws.Cipher(payload, h.Mask, 0)
	}
	return Message{h.OpCode, payload}
}

// HeaderSize returns how many bytes [AppendHeader] appends for a payload of n
// bytes.
func HeaderSize(n int) int { return ws.HeaderSize(ws.Header{Length: int64(n)}) }

// AppendHeader appends the header of a server's frame that is a whole message or a
// control frame, with n bytes of payload. The caller appends the payload.
func AppendHeader(dst []byte, op OpCode, n int) []byte { return appendHeader(dst, op, 0, n) }

// appendHeader appends a header; mask is the mask bit or 0.
func appendHeader(dst []byte, op OpCode, mask byte, n int) []byte {
	if op.IsControl() && n > MaxControlPayload {
		panic("BUG: a control frame with more than 125 bytes") // 5.5
	}
	dst = append(dst, finBit|byte(op))
	switch { // in the fewest bytes (section 5.2)
	case n < length16:
		return append(dst, mask|byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, mask|length16)
		return binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, mask|length64)
		return binary.BigEndian.AppendUint64(dst, uint64(n))
	}
}
