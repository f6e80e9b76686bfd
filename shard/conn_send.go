// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// deliver queues an event if the connection is open and live. It returns how many
// appends that cost.
func (c *conn) deliver(m *Message) int {
	if c.state != open || m.Cursor.Seq <= c.queuedSeq || c.out != nil && c.out.replay != nil {
		return 0
	}
	n := len(m.form(c.deflates))
	if c.pending()+n > c.s.cfg.SendQueueBytes && !c.makeRoom(n) {
		c.fail(event.FailedSlowConsumer, []*Message{m})
		return 1
	}
	c.queuedSeq = m.Cursor.Seq
	c.enqueue(m)
	return 1
}

// makeRoom is called when n more bytes would exceed the limit of the send queue. It
// writes what is queued: a burst within one turn was not offered to the socket yet. If
// n bytes are still too many it closes the connection. An event longer than the limit
// passes when the queue is empty.
func (c *conn) makeRoom(n int) bool {
	for !c.blocked && c.state == open && c.out != nil {
		c.flush()
	}
	if c.state != open {
		return false
	}
	if p := c.pending(); p > 0 && p+n > c.s.cfg.SendQueueBytes {
		c.close(event.SlowConsumer, "its send queue is full")
		return false
	}
	return true
}

// enqueue appends m to the send queue.
func (c *conn) enqueue(m *Message) {
	c.outbox().queue.push(m)
	c.touch()
}

// enqueueFront queues m before the events that wait, so that a peer with a long queue
// is still pinged in time. Upgrade response and ack stay first.
func (c *conn) enqueueFront(m *Message) {
	o := c.outbox()
	o.queue.pushFront(m, o.first)
	c.touch()
}

// touch marks the connection to be flushed in this turn or the next.
func (c *conn) touch() {
	c.account()
	if c.dirty || c.blocked {
		return
	}
	c.dirty = true
	c.s.dirty = append(c.s.dirty, c)
	if !c.s.inTurn {
		c.s.ring()
	}
}

// outbox returns the connection's outbox, from the pool if it has none.
func (c *conn) outbox() *outbox {
	if c.out == nil {
		c.out = c.s.pool.get()
		c.out.queue.deflates = c.deflates
	}
	return c.out
}

// pending returns how many bytes the socket has not taken yet.
func (c *conn) pending() int {
	if c.out == nil {
		return 0
	}
	return c.out.queue.bytes + c.transport.Unsent()
}

// account updates the shard's gauge of queued bytes.
func (c *conn) account() {
	p := c.pending()
	c.s.stats.QueuedBytes.Add(int64(p - c.out.gaugeBytes))
	c.out.gaugeBytes = p
}

// flush writes what is queued with one write, up to maxFlushBytes.
func (c *conn) flush() {
	unsent := c.transport.Unsent()
	vec, total := c.out.queue.gather(c.s.vec[:0], maxFlushParts, maxFlushBytes)
	n, err := 0, error(nil)
	if total > 0 || unsent > 0 {
		n, err = c.transport.Write(vec)
	}
	clear(vec) // do not keep messages alive
	c.s.vec = vec[:0]
	if n > 0 {
		c.written(n)
	}
	if err != nil {
		c.finish(event.ConnectionLost, err.Error())
		return
	}
	c.blocked = n < total || c.transport.Unsent() > 0
	// What left memory by this write: of the queue, and of what the transport had
	// sealed before.
	left := n + unsent - c.transport.Unsent()
	c.afterFlush(left > 0)
}

// written removes n bytes from the queue, and counts the events that are complete.
func (c *conn) written(n int) {
	now := c.s.clock().UnixNano() // the turn's own time can be some milliseconds old
	o := c.out
	o.queue.advance(n, func(m *Message) {
		switch m {
		case o.first:
			o.first = nil
		case o.reply:
			o.reply = nil
		case o.resync:
			o.resync = nil
		}
		if m.Cursor.IsZero() {
			return
		}
		c.sent++
		if o.resync == nil {
			c.writtenSeq = m.Cursor.Seq
		}
		c.s.stats.Delivered.Inc()
		if o.replay == nil && c.writtenSeq > o.replayedTo {
			c.s.stats.Latency.Observe(time.Duration(now - m.Published))
		}
	})
	c.noteProgress()
}

// afterFlush refills the queue from a replay and sets the deadline of a queue that
// stalls. progress reports whether the socket took bytes, whatever is queued after
// them.
func (c *conn) afterFlush(progress bool) {
	if c.state == open && c.out.replay != nil {
		c.catchUp()
	}
	c.account()
	if c.pending() == 0 {
		c.drained()
		return
	}
	if progress || c.out.stallDue == never {
		c.out.stallDue = c.s.now.add(c.s.cfg.StallTimeout)
		c.s.wheel.sooner(c, c.nextDeadline())
	}
	if !c.blocked { // more than one flush takes; other connections first
		c.touch()
	}
}

// drained is called when everything queued is written.
func (c *conn) drained() {
	if c.out.replay != nil { // the next events come with a page
		c.out.stallDue = never
		return
	}
	c.s.pool.put(c.out)
	c.out = nil
	if c.state == closing {
		c.closeFrameSent()
	}
}

// Writable implements [Receiver].
func (c *conn) Writable() {
	c.s.readClock()
	c.blocked = false
	c.outbox() // the transport can have unsent bytes of its own, such as an alert
	c.flush()
}

// dropQueue drops the events that will not be sent, and counts them as failed.
func (c *conn) dropQueue(why event.CloseReason) {
	failure := event.FailedLost
	if why == event.SlowConsumer {
		failure = event.FailedSlowConsumer
	}
	if c.out == nil {
		return
	}
	if events := c.out.queue.drop(c.out.first); len(events) > 0 {
		c.fail(failure, events)
	}
}

// fail counts and reports events that this connection will not get.
func (c *conn) fail(why event.FailureReason, events []*Message) {
	c.s.deliveryFailed(why, Notice{
		GatewayID: c.gatewayID, ConnectionID: c.id, Remote: c.remote.unpack(), Messages: events,
	})
}
