// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// deliver queues an event, if the connection is open and live. It returns how
// many appends that took.
func (c *conn) deliver(m *Message) int {
	if c.state != open || m.Cursor.Seq <= c.pos || c.out != nil && c.out.replay != nil {
		return 0
	}
	n := len(m.form(c.deflates))
	if c.pending()+n > c.s.cfg.SendQueueBytes && !c.makeRoom(n) {
		c.fail(event.FailedSlowConsumer, []*Message{m})
		return 1
	}
	c.pos = m.Cursor.Seq
	c.enqueue(m)
	return 1
}

// makeRoom writes what is queued, because a burst within one turn has not been
// offered to the socket yet, and ends the connection when n bytes more are
// still too many. An event longer than the bound passes alone.
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

// enqueue queues m, behind everything.
func (c *conn) enqueue(m *Message) {
	c.outbox().queue.push(m)
	c.touch()
}

// enqueueUrgent queues m ahead of what waits, so that a long queue does not make
// a living peer look dead. Greeting and ack stay ahead of all.
func (c *conn) enqueueUrgent(m *Message) {
	o := c.outbox()
	o.queue.pushUrgent(m, o.first)
	c.touch()
}

// touch has the connection flushed, in this turn or the next.
func (c *conn) touch() {
	c.account()
	if c.dirty || c.blocked {
		return
	}
	c.dirty = true
	c.s.dirty = append(c.s.dirty, c)
	if !c.s.turning {
		c.s.ring()
	}
}

// outbox returns the connection's outbox, a fresh one if it has none.
func (c *conn) outbox() *outbox {
	if c.out == nil {
		c.out = c.s.pool.get()
		c.out.queue.deflates = c.deflates
	}
	return c.out
}

// pending returns how many bytes are not on their way yet.
func (c *conn) pending() int {
	if c.out == nil {
		return 0
	}
	return c.out.queue.bytes + c.transport.Unsent()
}

// account brings the shard's gauge of queued bytes up to date.
func (c *conn) account() {
	p := c.pending()
	c.s.stats.QueuedBytes.Add(int64(p - c.out.counted))
	c.out.counted = p
}

// flush writes what is queued, up to maxFlushBytes.
func (c *conn) flush() {
	unsent := c.transport.Unsent()
	vec, total := c.out.queue.gather(c.s.vec[:0], maxFlushParts, maxFlushBytes)
	n, err := 0, error(nil)
	if total > 0 || unsent > 0 {
		n, err = c.transport.Write(vec)
	}
	clear(vec) // do not keep frames alive
	c.s.vec = vec[:0]
	if n > 0 {
		c.written(n)
	}
	if err != nil {
		c.finish(event.ConnectionLost, err.Error())
		return
	}
	c.blocked = n < total || c.transport.Unsent() > 0
	// What the socket took: of the queue, and of what the transport had sealed before.
	left := n + unsent - c.transport.Unsent()
	c.flushed(left > 0)
}

// written takes n bytes off the queue, and counts the events complete by them.
func (c *conn) written(n int) {
	now := c.s.clock().UnixNano() // the turn's own time may be some milliseconds old
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
			c.seq = m.Cursor.Seq
		}
		c.s.stats.Delivered.Inc()
		if o.replay == nil && c.seq > o.replayed {
			c.s.stats.Latency.Observe(time.Duration(now - m.Published))
		}
	})
	c.progressed()
}

// flushed does what follows from a write; moved says whether bytes left the queue by
// it, whatever is queued behind them now.
func (c *conn) flushed(moved bool) {
	if c.state == open && c.out.replay != nil {
		c.catchUp()
	}
	c.account()
	if c.pending() == 0 {
		c.drained()
		return
	}
	if moved || c.out.stallDue == never {
		c.out.stallDue = c.s.now.add(c.s.cfg.StallTimeout)
		c.s.wheel.sooner(c, c.due())
	}
	if !c.blocked { // more than one flush takes; others first
		c.touch()
	}
}

// drained goes on when everything queued is written.
func (c *conn) drained() {
	if c.out.replay != nil { // there is more, and it is not at hand
		c.out.stallDue = never
		return
	}
	c.s.pool.put(c.out)
	c.out = nil
	if c.state == closing {
		c.goodbyeSent()
	}
}

// Writable implements [Receiver].
func (c *conn) Writable() {
	c.s.readClock()
	c.blocked = false
	c.outbox() // what the transport has unsent may be its own, an alert for one
	c.flush()
}

// dropQueue forgets the events that can no longer be sent.
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

// fail counts events that this connection will not get.
func (c *conn) fail(why event.FailureReason, events []*Message) {
	c.s.failed(why, Notice{
		GatewayID: c.gatewayID, ConnectionID: c.id, Remote: c.remote.unpack(), Messages: events,
	})
}
