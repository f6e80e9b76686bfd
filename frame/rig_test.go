// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gobwas/ws"
	"pgregory.net/rapid"
)

// The vocabulary of this package's tests. Frames are encoded with gobwas/ws, not
// with the code under test.

const cont = ws.OpContinuation

var testMask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// final is a client's frame that ends a message, or a control frame.
func final(op OpCode, payload string) []byte { return clientFrame(op, true, payload) }

// part is a client's frame that another follows.
func part(op OpCode, payload string) []byte { return clientFrame(op, false, payload) }

func clientFrame(op OpCode, fin bool, payload string) []byte {
	return ws.MustCompileFrame(ws.MaskFrameWith(ws.NewFrame(op, fin, []byte(payload)), testMask))
}

func serverFrame(op OpCode, fin bool, payload string) []byte {
	return ws.MustCompileFrame(ws.NewFrame(op, fin, []byte(payload)))
}

// patch changes byte i of a frame.
func patch(b []byte, i int, change func(byte) byte) []byte {
	b = slices.Clone(b)
	b[i] = change(b[i])
	return b
}

// closing is the payload of a close frame.
func closing(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// got is all that a decoder made of its input.
type got struct {
	messages []Message // copies
	err      *Error
}

func (g got) String() string {
	var s strings.Builder
	for _, m := range g.messages {
		if len(m.Payload) > 40 {
			fmt.Fprintf(&s, "%x:%q…%d ", byte(m.Op), m.Payload[:40], len(m.Payload))
			continue
		}
		fmt.Fprintf(&s, "%x:%q ", byte(m.Op), m.Payload)
	}
	if g.err != nil {
		s.WriteString(g.err.Error())
	}
	return s.String()
}

func (g got) equal(h got) bool {
	same := func(a, b Message) bool { return a.Op == b.Op && bytes.Equal(a.Payload, b.Payload) }
	if !slices.EqualFunc(g.messages, h.messages, same) {
		return false
	}
	if g.err == nil || h.err == nil {
		return g.err == h.err
	}
	return *g.err == *h.err
}

// decode decodes pieces one after another, as they come from a socket: into one
// buffer that is used again.
func decode(t rapid.TB, d *Decoder, max int, pieces ...[]byte) (g got) {
	t.Helper()
	var buf []byte
	for _, piece := range pieces {
		buf = append(buf[:0], piece...)
		for rest := buf; len(rest) > 0; {
			m, n, err := d.Next(rest, max)
			if err != nil {
				g.err = failure(t, err)
				return g
			}
			if n == 0 {
				t.Fatalf("Next took nothing of %x", rest)
			}
			rest = rest[n:]
			if m.Op == 0 && len(rest) > 0 {
				t.Fatalf("Next made no message and left %x", rest)
			}
			if m.Op != 0 {
				g.messages = append(g.messages, Message{m.Op, slices.Clone(m.Payload)})
			}
		}
	}
	return g
}

func failure(t rapid.TB, err error) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error is a %T, want *Error: %v", err, err)
	}
	return e
}

// split cuts b at offsets, each given as its distance from the one before.
func split(b, cuts []byte) (pieces [][]byte) {
	for _, c := range cuts {
		n := min(int(c), len(b))
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return append(pieces, b)
}

// ones cuts b into single bytes.
func ones(b []byte) [][]byte { return slices.Collect(slices.Chunk(b, 1)) }
