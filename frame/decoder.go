// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import "github.com/gobwas/ws"

// A Message is a data message put together from its fragments, or a control
// frame. The zero Message, whose Op is 0, is none.
type Message struct {
	Op      OpCode
	Payload []byte // of text and close reasons: valid UTF-8
}

// A Decoder makes messages of the bytes of one connection, in whatever pieces
// they arrive. It refuses everything that RFC 6455 forbids, as soon as the bytes
// show it. The zero Decoder is ready for what a client sends. It belongs to the
// one goroutine that owns the connection.
//
// Between messages it holds no memory but itself.
//
// It goes on after a close frame; that nothing behind one counts (5.5.1) is for
// the caller to see to.
type Decoder struct {
	// FromServer says that the frames are a server's, which are not masked. It
	// is set before the first byte.
	FromServer bool
	// Deflate says that permessage-deflate without context takeover is
	// negotiated, so that messages may be compressed. It is set before the first
	// byte.
	Deflate bool

	fragments uint32 // since TakeFragments

	failed  *Error   // nil until the peer has done something wrong
	pending *pending // nil between messages
}

// Next decodes b to the end of the first message or control frame in it, and
// otherwise to its end, keeping what is incomplete for the next call. n is how
// much of b is done with: the caller passes the rest again, with what arrives
// after it. max bounds the payload of a data message, in bytes, as it
// is sent and as it is inflated.
//
// The payload is valid until the next call. It lies in b itself when all of the
// message does and it is not compressed; b is unmasked in place.
//
// An error is an [*Error], and every later call returns it again.
func (d *Decoder) Next(b []byte, max int) (m Message, n int, err error) {
	if d.failed == nil {
		m, n, d.failed = d.next(b, max)
	}
	if d.failed != nil {
		d.pending = nil
		return Message{}, 0, d.failed
	}
	return m, n, nil
}

// TakeFragments returns how many fragments of messages have come since the last
// call: frames that are each work, and none of them a message.
func (d *Decoder) TakeFragments() int {
	n := d.fragments
	d.fragments = 0
	return int(n)
}

// next is Next for a peer that has done nothing wrong yet. Each step takes some
// of b; the last is the one that completes a message, fails, or wants more than
// there is.
func (d *Decoder) next(b []byte, max int) (m Message, n int, fail *Error) {
	for more := true; more && m.Op == 0 && fail == nil; {
		var k int
		if d.pending != nil && d.pending.inFrame {
			m, k, more, fail = d.takePayload(b[n:], max)
		} else {
			m, k, more, fail = d.takeFrame(b[n:], max)
		}
		n += k
	}
	return m, n, fail
}

// takeFrame takes a whole message from b, or the header of a frame that is not
// one. more reports whether the header is complete.
func (d *Decoder) takeFrame(b []byte, max int) (m Message, n int, more bool, fail *Error) {
	h, n := d.takeHeader(b)
	if h.size == 0 {
		return Message{}, n, false, nil
	}
	if fail := d.check(h, max); fail != nil {
		return Message{}, n, false, fail
	}
	if !h.Fin || h.OpCode == ws.OpContinuation {
		d.fragments++
	}
	if !h.wholeIn(b[n:]) {
		d.keep().begin(h)
		return Message{}, n, true, nil
	}
	m = h.inPlace(b[n:])
	n += len(m.Payload)
	d.release()
	m, fail = complete(m, h.Rsv == rsv1, max)
	return m, n, true, fail
}

// takePayload takes from b what it has of the payload of the frame begun. more
// reports whether that is all of it.
func (d *Decoder) takePayload(b []byte, max int) (m Message, n int, more bool, fail *Error) {
	p := d.pending
	m, n, fail = p.take(b)
	more = !p.inFrame
	if m.Op != 0 {
		d.release()
		m, fail = complete(m, p.deflated && !m.Op.IsControl(), max)
	}
	return m, n, more, fail
}

// complete makes of what was received whole what the peer meant, and checks it.
func complete(m Message, deflated bool, max int) (_ Message, fail *Error) {
	if deflated {
		if m.Payload, fail = inflate(m.Payload, max); fail != nil {
			return Message{}, fail
		}
	}
	return m, checkPayload(m)
}

// takeHeader takes a header, or what there is of it, from b. Its size is 0 while
// it is incomplete.
func (d *Decoder) takeHeader(b []byte) (h header, n int) {
	if d.pending == nil || d.pending.headLen == 0 {
		h, n = consumeHeader(b)
		if n == 0 && len(b) > 0 {
			p := d.keep()
			p.headLen = copy(p.head[:], b)
			n = len(b)
		}
		return h, n
	}
	p := d.pending
	had := p.headLen
	p.headLen += copy(p.head[had:], b)
	h, n = consumeHeader(p.head[:p.headLen])
	if n == 0 {
		return h, len(b) // no header is longer than head, so all of b went in
	}
	p.headLen = 0
	return h, n - had
}

// keep returns what is pending, to be added to.
func (d *Decoder) keep() *pending {
	if d.pending == nil {
		d.pending = new(pending)
	}
	return d.pending
}

// release lets go of what was pending, unless a message between whose fragments
// a control frame came is still to be completed.
func (d *Decoder) release() {
	if d.pending != nil && d.pending.op == 0 {
		d.pending = nil
	}
}
