// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// A partial is what a Decoder holds of an incomplete message: part of a header, part of
// a frame, or some of the fragments of a message.
type partial struct {
	head    [ws.MaxHeaderSize]byte // part of the next header
	headLen int

	inFrame bool      // some payload of frame has not arrived
	frame   ws.Header // valid while inFrame
	got     int       // bytes of frame's payload that have arrived

	op       OpCode // of the data message begun; 0 when none is
	deflated bool   // the data message is compressed
	data     []byte // its payload so far, over all fragments
	text     int    // bytes of data that are whole characters; of uncompressed text only
	control  []byte // the payload so far, if frame is a control frame
}

// begin begins the payload of a frame.
func (p *partial) begin(h header) {
	p.inFrame, p.frame, p.got = true, h.Header, 0
	if h.OpCode == OpText || h.OpCode == OpBinary {
		p.op, p.deflated = h.OpCode, h.Rsv == rsv1
	}
}

// take takes the payload of the frame from b, as far as b has it. It returns the
// message that this completes, or none.
func (p *partial) take(b []byte) (m Message, n int, fail *Error) {
	n = int(min(p.frame.Length-int64(p.got), int64(len(b))))
	if p.frame.OpCode.IsControl() {
		p.control = p.unmask(p.control, b[:n])
	} else {
		p.data = p.unmask(p.data, b[:n])
		if fail := p.checkText(); fail != nil {
			return Message{}, n, fail
		}
	}
	if int64(p.got) < p.frame.Length {
		return Message{}, n, nil
	}
	p.inFrame = false
	return p.finish(), n, nil
}

// unmask appends b, the next bytes of the frame's payload, to dst. It reserves no
// memory for what has not arrived: that is only a promise of the peer.
func (p *partial) unmask(dst, b []byte) []byte {
	start := len(dst)
	dst = append(dst, b...)
	if p.frame.Masked {
		ws.Cipher(dst[start:], p.frame.Mask, p.got)
	}
	p.got += len(b)
	return dst
}

// checkText fails a text at the first byte that is not UTF-8, which can be long before
// its end (section 8.1).
func (p *partial) checkText() *Error {
	if p.op != OpText || p.deflated {
		return nil
	}
	n, ok := wholeRunes(p.data[p.text:])
	p.text += n
	if !ok {
		return notText()
	}
	return nil
}

// finish returns the message that the end of the frame completes, or none.
func (p *partial) finish() (m Message) {
	switch {
	case p.frame.OpCode.IsControl():
		m = Message{p.frame.OpCode, p.control}
		p.control = nil
	case p.frame.Fin:
		m = Message{p.op, p.data}
		p.op = 0 // makes the Decoder release p
	}
	return m
}

// wholeRunes returns how many bytes at the front of b are whole characters, if the rest
// can still become one; ok is false when b cannot be the beginning of UTF-8.
func wholeRunes(b []byte) (n int, ok bool) {
	n = len(b)
	for i := range min(n, utf8.UTFMax-1) {
		tail := n - 1 - i
		if utf8.RuneStart(b[tail]) {
			if !utf8.FullRune(b[tail:]) {
				n = tail
			}
			break
		}
	}
	return n, utf8.Valid(b[:n])
}
