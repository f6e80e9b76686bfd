// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import "time"

// An instant is a time on a shard's own clock: monotonic nanoseconds since the shard
// started. It takes 8 bytes per deadline where a time.Time takes 24.
type instant int64

// never is later than every instant.
const never instant = 1<<63 - 1

// add returns the instant d later.
func (t instant) add(d time.Duration) instant { return t + instant(d) }

// wheelSlots is how many ticks ahead the wheel can hold. A later deadline is put at the
// end of the wheel, and again when its slot comes.
const wheelSlots = 512

// A wheel is a hashed timing wheel (Varghese and Lauck, 1987) of connections, by when
// they must be looked at. Its lists are threaded through the connections. To add and
// remove costs a few pointer writes, however many connections there are; an idle
// connection is looked at once per ping interval. One wheel serves pings, silence,
// stalled queues and unanswered close frames: a connection is in it once, at the
// earliest of its deadlines. When a deadline moves back the connection stays where it
// is, and is put in again when its slot comes. It is owned by the loop.
type wheel struct {
	tick  time.Duration
	slots [wheelSlots]*conn
	pos   int     // the slot that was looked at last
	at    instant // the time of pos
}

// A wheelLink is a connection's link in the wheel.
type wheelLink struct {
	prev, next *conn
	due        instant // when its slot comes
	slot       int16   // -1 while it is in none
}

// add puts c into the wheel, to be looked at no earlier than due.
func (w *wheel) add(c *conn, due instant) {
	ticks := int((due - w.at + instant(w.tick) - 1) / instant(w.tick))
	ticks = min(max(ticks, 1), wheelSlots-1)
	slot := (w.pos + ticks) % wheelSlots
	c.link = wheelLink{slot: int16(slot), due: w.at + instant(ticks)*instant(w.tick), next: w.slots[slot]}
	if c.link.next != nil {
		c.link.next.link.prev = c
	}
	w.slots[slot] = c
}

// remove removes c from the wheel.
func (w *wheel) remove(c *conn) {
	l := &c.link
	switch {
	case l.slot < 0:
		return
	case l.prev != nil:
		l.prev.link.next = l.next
	default:
		w.slots[l.slot] = l.next
	}
	if l.next != nil {
		l.next.link.prev = l.prev
	}
	c.link = wheelLink{slot: -1}
}

// sooner moves c forward if due is before its slot.
func (w *wheel) sooner(c *conn, due instant) {
	if c.link.slot >= 0 && due < c.link.due {
		w.remove(c)
		w.add(c, due)
	}
}

// advance moves the wheel to now, and calls expire with each connection whose slot
// came, after removing it.
func (w *wheel) advance(now instant, expire func(*conn)) {
	// After a stop longer than the wheel every slot comes once.
	w.at = max(w.at, now.add(-wheelSlots*w.tick))
	for now-w.at >= instant(w.tick) {
		w.at = w.at.add(w.tick)
		w.pos = (w.pos + 1) % wheelSlots
		for c := w.slots[w.pos]; c != nil; c = w.slots[w.pos] {
			w.remove(c)
			expire(c)
		}
	}
}
