// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

// A queue holds the messages that a connection has to send.
type queue struct {
	msgs  []*Message
	head  int // msgs[:head] are sent, and nil
	off   int // bytes of msgs[head] that are sent
	bytes int // not sent yet

	// deflates selects the form of messages. It does not change while any is queued.
	deflates bool
}

// empty reports whether everything is sent.
func (q *queue) empty() bool { return q.head == len(q.msgs) }

// form returns the bytes that are sent of m.
func (q *queue) form(m *Message) []byte { return m.form(q.deflates) }

// push appends m.
func (q *queue) push(m *Message) {
	if len(q.msgs) == cap(q.msgs) && q.head > len(q.msgs)/2 { // cheaper than to grow
		n := copy(q.msgs, q.msgs[q.head:])
		clear(q.msgs[n:])
		q.msgs, q.head = q.msgs[:n], 0
	}
	q.msgs = append(q.msgs, m)
	q.bytes += len(q.form(m))
}

// pushFront inserts m before every message that is not begun, except stays, which
// remains first.
func (q *queue) pushFront(m, stays *Message) {
	q.push(m)
	first := q.head
	if q.off > 0 || q.msgs[first] == stays {
		first++
	}
	copy(q.msgs[first+1:], q.msgs[first:])
	q.msgs[first] = m
}

// replace puts m in the slot of old, if old is queued and not begun.
func (q *queue) replace(old, m *Message) bool {
	for i := q.head; i < len(q.msgs); i++ {
		if q.msgs[i] == old && (i > q.head || q.off == 0) {
			q.msgs[i] = m
			q.bytes += len(q.form(m)) - len(q.form(old))
			return true
		}
	}
	return false
}

// gather appends what is to be sent next to vec: whole messages, up to maxSlices and
// about maxBytes; the first without its sent bytes.
func (q *queue) gather(vec [][]byte, maxSlices, maxBytes int) (_ [][]byte, total int) {
	off := q.off
	for i := q.head; i < len(q.msgs) && len(vec) < maxSlices && total < maxBytes; i++ {
		b := q.form(q.msgs[i])[off:]
		vec = append(vec, b)
		total += len(b)
		off = 0
	}
	return vec, total
}

// advance removes n sent bytes from the front, and calls sent with each message that is
// now complete.
func (q *queue) advance(n int, sent func(*Message)) {
	q.bytes -= n
	for n > 0 {
		m := q.msgs[q.head]
		left := len(q.form(m)) - q.off
		if n < left {
			q.off += n
			return
		}
		n -= left
		q.msgs[q.head] = nil
		q.head++
		q.off = 0
		sent(m)
	}
}

// drop removes every message that is not begun, except stays, and returns the events
// among them.
func (q *queue) drop(stays *Message) (events []*Message) {
	first := q.head
	if q.off > 0 || first < len(q.msgs) && q.msgs[first] == stays {
		first++
	}
	for i := first; i < len(q.msgs); i++ {
		m := q.msgs[i]
		q.bytes -= len(q.form(m))
		if !m.Cursor.IsZero() {
			events = append(events, m)
		}
		q.msgs[i] = nil
	}
	q.msgs = q.msgs[:first]
	return events
}
