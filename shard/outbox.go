// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

// An outbox is the sending state of a connection. It comes from the shard's pool and
// goes back when all is sent, so an idle connection has none. It is owned by the loop.
type outbox struct {
	queue      queue
	gaugeBytes int      // the connection's part of the shard's gauge of queued bytes
	first      *Message // upgrade response and ack, while they are queued
	reply      *Message // the latest reply, while it is queued
	resync     *Message // the last resync.required, while it is queued: events before it are no progress
	stallDue   instant  // never until a write has left bytes unsent

	replay     *replay // nil for a connection that is live
	replayedTo uint64  // events up to this sequence are late because the gateway was offline
}

// stallDeadline returns when the outbox will have made no progress for too long.
func (o *outbox) stallDeadline() instant {
	if o == nil {
		return never
	}
	return o.stallDue
}

// An outboxPool keeps outboxes for connections. It is owned by one loop.
type outboxPool struct {
	free    []*outbox
	minFree int // the minimum of len(free) since the last trim
}

// Limits of the pool: an outbox with a longer queue, and one more than the count, are
// left to the garbage collector.
const (
	pooledCap   = 128
	pooledCount = 1 << 17
)

// get returns an empty outbox.
func (p *outboxPool) get() *outbox {
	n := len(p.free)
	if n == 0 {
		return &outbox{queue: queue{msgs: make([]*Message, 0, 4)}, stallDue: never}
	}
	o := p.free[n-1]
	p.free[n-1] = nil
	p.free = p.free[:n-1]
	p.minFree = min(p.minFree, len(p.free))
	return o
}

// put returns an outbox to the pool.
func (p *outboxPool) put(o *outbox) {
	if cap(o.queue.msgs) > pooledCap || len(p.free) == pooledCount {
		return
	}
	msgs := o.queue.msgs
	clear(msgs)
	*o = outbox{queue: queue{msgs: msgs[:0]}, stallDue: never}
	p.free = append(p.free, o)
}

// trim releases the outboxes that were not needed since the last trim.
func (p *outboxPool) trim() {
	keep := len(p.free) - p.minFree
	clear(p.free[keep:])
	p.free = p.free[:keep]
	if cap(p.free) > 4*keep {
		p.free = append(make([]*outbox, 0, 2*keep), p.free...)
	}
	p.minFree = keep
}
