// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package frame

import "github.com/gobwas/ws"

// A Message is a data message, assembled from its fragments, or a control frame. The
// zero Message, whose Op is 0, is none.
type Message struct {
	Op      OpCode
	Payload []byte // of text messages and close reasons: valid UTF-8
}

// A Decoder decodes the bytes of one connection, in whatever pieces they arrive. It
// refuses everything that RFC 6455 forbids, as soon as the bytes show it. The zero
// Decoder decodes what a client sends. It is owned by the goroutine that owns the
// connection.
//
// Between messages it holds no memory but itself.
//
// It continues after a close frame. That nothing after one counts (section 5.5.1) is
// the caller's to enforce.
type Decoder struct {
	// FromServer says that the frames are a server's, which are not masked. Set it
	// before the first byte.
	FromServer bool
	// Deflate says that permessage-deflate without context takeover is negotiated, so
	// that messages can be compressed. Set it before the first byte.
	Deflate bool

	fragments uint32 // since TakeFragments

	failed  *Error   // nil until the peer breaks the protocol
	partial *partial // nil between messages
}

// Next decodes b up to the end of the first message or control frame in it, or to its
// end; what is incomplete is kept for the next call. n is how many bytes of b were
// used: the caller passes the rest again, followed by what arrives next. max limits the
// payload of a data message, in bytes, both as sent and as inflated.
//
// The payload is valid until the next call. It lies in b if all of the message does and
// it is not compressed; b is unmasked in place.
//
// An error is an [*Error], and every later call returns it again.
func (d *Decoder) Next(b []byte, max int) (m Message, n int, err error) {
	if d.failed == nil {
		m, n, d.failed = d.next(b, max)
	}
	if d.failed != nil {
		d.partial = nil
		return Message{}, 0, d.failed
	}
	return m, n, nil
}

// TakeFragments returns how many fragments of messages arrived since the last call.
// Each is work for the server without being a message.
func (d *Decoder) TakeFragments() int {
	n := d.fragments
	d.fragments = 0
	return int(n)
}

// next is Next for a peer that has not broken the protocol. Each step uses some of b;
// the last one completes a message, fails, or needs more bytes.
func (d *Decoder) next(b []byte, max int) (m Message, n int, fail *Error) {
	for more := true; more && m.Op == 0 && fail == nil; {
		var k int
		if d.partial != nil && d.partial.inFrame {
			m, k, more, fail = d.takePayload(b[n:], max)
		} else {
			m, k, more, fail = d.takeFrame(b[n:], max)
		}
		n += k
	}
	return m, n, fail
}

// takeFrame takes a whole message from b, or the header of a frame that is not a whole
// message. more reports whether the header is complete.
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
		d.addPartial().begin(h)
		return Message{}, n, true, nil
	}
	m = h.inPlace(b[n:])
	n += len(m.Payload)
	d.releasePartial()
	m, fail = complete(m, h.Rsv == rsv1, max)
	return m, n, true, fail
}

// takePayload takes the payload of the frame begun, as far as b has it. more reports
// whether that is all of it.
func (d *Decoder) takePayload(b []byte, max int) (m Message, n int, more bool, fail *Error) {
	p := d.partial
	m, n, fail = p.take(b)
	more = !p.inFrame
	if m.Op != 0 {
		d.releasePartial()
		m, fail = complete(m, p.deflated && !m.Op.IsControl(), max)
	}
	return m, n, more, fail
}

// complete inflates and checks a message that was received whole.
func complete(m Message, deflated bool, max int) (_ Message, fail *Error) {
	if deflated {
		if m.Payload, fail = inflate(m.Payload, max); fail != nil {
			return Message{}, fail
		}
	}
	return m, checkPayload(m)
}

// takeHeader takes a header, or a part of it, from b. Its size is 0 while it is
// incomplete.
func (d *Decoder) takeHeader(b []byte) (h header, n int) {
	if d.partial == nil || d.partial.headLen == 0 {
		h, n = consumeHeader(b)
		if n == 0 && len(b) > 0 {
			p := d.addPartial()
			p.headLen = copy(p.head[:], b)
			n = len(b)
		}
		return h, n
	}
	p := d.partial
	had := p.headLen
	p.headLen += copy(p.head[had:], b)
	h, n = consumeHeader(p.head[:p.headLen])
	if n == 0 {
		return h, len(b) // no header is longer than head, so all of b fitted
	}
	p.headLen = 0
	return h, n - had
}

// addPartial returns the partial message, a new one if there is none.
func (d *Decoder) addPartial() *partial {
	if d.partial == nil {
		d.partial = new(partial)
	}
	return d.partial
}

// releasePartial releases the partial message, unless a control frame came between
// fragments of a message that is still to be completed.
func (d *Decoder) releasePartial() {
	if d.partial != nil && d.partial.op == 0 {
		d.partial = nil
	}
}
