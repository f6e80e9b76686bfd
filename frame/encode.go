// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"slices"

	"github.com/gobwas/ws"
)

// maskSize is how many bytes a mask adds to a header.
const maskSize = 4

// Append appends a server's frame that is a whole message or a control frame. It grows
// dst at most once, to the exact size. A control frame with more than 125 bytes panics
// (section 5.5).
func Append(dst []byte, op OpCode, payload []byte) []byte {
	dst = slices.Grow(dst, HeaderSize(len(payload))+len(payload))
	dst = AppendHeader(dst, op, len(payload))
	return append(dst, payload...)
}

// AppendMasked appends a client's frame that is a whole message or a control frame. The
// mask must be unpredictable and new for every frame (section 5.3). payload is not
// modified.
func AppendMasked(dst []byte, op OpCode, payload []byte, mask [4]byte) []byte {
	dst = slices.Grow(dst, HeaderSize(len(payload))+maskSize+len(payload))
	dst = appendHeader(dst, op, maskBit, len(payload))
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	ws.Cipher(dst[start:], mask, 0)
	return dst
}
