// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"time"

	"gatecast/stats"
)

// deliver queues an event, if the connection is open. It returns how many
// appends that took.
func (c *conn) deliver(m *Message) int {
	if c.state != open {
		return 0
	}
	if c.pending()+len(m.Wire) > c.s.cfg.SendQueueBytes && !c.makeRoom(len(m.Wire)) {
		c.fail(stats.FailedSlowConsumer, []*Message{m})
		return 1
	}
	c.enqueue(m)
	return 1
}

// makeRoom writes what is queued, because a burst within one turn has not been
// offered to the socket yet, and ends the connection when n bytes more are
// still too many. An event longer than the bound passes alone.
func (c *conn) makeRoom(n int) bool {
	for !c.blocked && c.state == open && !c.queue.empty() {
		c.flush()
	}
	if c.state != open {
		return false
	}
	if p := c.pending(); p > 0 && p+n > c.s.cfg.SendQueueBytes {
		c.close(stats.SlowConsumer, "its send queue is full")
		return false
	}
	return true
}

// enqueue queues m, behind everything.
func (c *conn) enqueue(m *Message) {
	c.queue.push(m, &c.s.pool)
	c.touch()
}

// enqueueUrgent queues m ahead of what waits, so that a long queue does not make
// a living peer look dead. The ack stays the first of all.
func (c *conn) enqueueUrgent(m *Message) {
	c.queue.pushUrgent(m, c.ack, &c.s.pool)
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

// pending returns how many bytes are not on their way yet.
func (c *conn) pending() int { return c.queue.bytes + c.transport.Unsent() }

// account brings the shard's gauge of queued bytes up to date.
func (c *conn) account() {
	p := c.pending()
	c.s.stats.QueuedBytes.Add(int64(p - c.queued))
	c.queued = p
}

// flush writes what is queued, up to maxFlushBytes.
func (c *conn) flush() {
	before := c.pending()
	vec, total := c.queue.gather(c.s.vec[:0], maxFlushParts, maxFlushBytes)
	n, err := c.transport.Write(vec)
	clear(vec) // do not keep frames alive
	c.s.vec = vec[:0]
	if n > 0 {
		c.written(n)
	}
	if err != nil {
		c.finish(stats.ConnectionLost, err.Error())
		return
	}
	c.blocked = n < total || c.transport.Unsent() > 0
	c.flushed(before)
}

// written takes n bytes off the queue, and counts the events complete by them.
func (c *conn) written(n int) {
	now := c.s.clock().UnixNano() // the turn's own time may be some milliseconds old
	c.queue.advance(n, func(m *Message) {
		switch m {
		case c.ack:
			c.ack = nil
		case c.reply:
			c.reply = nil
		}
		if m.Cursor.IsZero() {
			return
		}
		c.sent++
		c.cursor = m.Cursor
		c.s.stats.Delivered.Inc()
		c.s.stats.Latency.Observe(time.Duration(now - m.Published))
	})
}

// flushed sets what follows from a write: before is what was pending ahead of
// it.
func (c *conn) flushed(before int) {
	c.account()
	after := c.pending()
	switch {
	case after == 0:
		c.queue.release(&c.s.pool)
		c.stallDue = never
		if c.state == closing {
			c.goodbyeSent()
		}
		return
	case after < before || c.stallDue == never:
		c.stallDue = c.s.now.add(c.s.cfg.StallTimeout)
		c.s.wheel.sooner(c, c.due())
	}
	if !c.blocked { // more than one flush takes; others first
		c.touch()
	}
}

// Writable implements [Receiver].
func (c *conn) Writable() {
	c.s.readClock()
	c.blocked = false
	c.flush()
}

// dropQueue forgets the events that can no longer be sent.
func (c *conn) dropQueue(why stats.Disconnect) {
	failure := stats.FailedLost
	if why == stats.SlowConsumer {
		failure = stats.FailedSlowConsumer
	}
	if events := c.queue.drop(); len(events) > 0 {
		c.fail(failure, events)
	}
}

// fail counts events that this connection will not get.
func (c *conn) fail(why stats.Failure, events []*Message) {
	c.s.failed(why, Notice{
		GatewayID: c.reg.Peer.GatewayID, ConnectionID: c.reg.ID, Remote: c.reg.Remote, Messages: events,
	})
}
