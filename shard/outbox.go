// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

// An outbox is everything about a connection's sending. It comes from the shard's
// pool and goes back when all is sent, so an idle connection has none.
type outbox struct {
	queue    queue
	counted  int      // what of the shard's gauge of queued bytes is ours
	first    *Message // greeting and ack, while they are queued
	reply    *Message // the latest reply, while it is queued
	resync   *Message // the last resync.required, while it is queued; what is ahead of it is no progress
	stallDue instant  // never until a write has left something

	replay   *replay // nil for a connection that is live
	replayed uint64  // the place up to which events are late because the gateway was away
}

// stalled returns when the outbox will have stood still for too long.
func (o *outbox) stalled() instant {
	if o == nil {
		return never
	}
	return o.stallDue
}

// An outboxPool keeps outboxes for connections. It belongs to one loop.
type outboxPool struct {
	free  []*outbox
	least int // that were free since the last trim
}

// Bounds of the pool: an outbox whose queue grew long is left to the collector,
// and so is one too many.
const (
	pooledCap   = 128
	pooledCount = 1 << 17
)

func (p *outboxPool) get() *outbox {
	n := len(p.free)
	if n == 0 {
		return &outbox{queue: queue{msgs: make([]*Message, 0, 4)}, stallDue: never}
	}
	o := p.free[n-1]
	p.free[n-1] = nil
	p.free = p.free[:n-1]
	p.least = min(p.least, len(p.free))
	return o
}

// put takes an outbox back.
func (p *outboxPool) put(o *outbox) {
	if cap(o.queue.msgs) > pooledCap || len(p.free) == pooledCount {
		return
	}
	msgs := o.queue.msgs
	clear(msgs)
	*o = outbox{queue: queue{msgs: msgs[:0]}, stallDue: never}
	p.free = append(p.free, o)
}

// trim lets go of what was not needed since the last trim.
func (p *outboxPool) trim() {
	keep := len(p.free) - p.least
	clear(p.free[keep:])
	p.free = p.free[:keep]
	if cap(p.free) > 4*keep {
		p.free = append(make([]*outbox, 0, 2*keep), p.free...)
	}
	p.least = keep
}
