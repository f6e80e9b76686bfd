// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tracker

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// A Status is the delivery status of an event at one of its target gateways.
type Status uint8

// Statuses, in the order in which an event passes through them. Delivered changes to
// Acked or Failed, and Acked to Failed: if replicas of a gateway answer differently,
// the delivery has failed.
const (
	Pending   Status = iota // not written to any connection of the gateway
	Delivered               // written to a connection, not acknowledged
	Acked                   // the gateway applied it
	Failed                  // the gateway failed to apply it
)

// A Tracker holds the delivery status of events. Any goroutine can use it.
type Tracker struct {
	limit int // of size; constant

	mu       sync.RWMutex
	gateways map[string]*gateway
	size     int    // sum of the gateways' sizes
	floor    uint64 // nothing is known of events up to here
	newest   uint64 // highest sequence that was reported
}

// A gateway is the state of one gateway. The Tracker's mu guards it. Its size is
// proportional to what the gateway missed and acknowledged, not to the events it got:
// a gateway that missed nothing has one span.
type gateway struct {
	spans  []span   // ordered, disjoint and not adjacent
	starts []uint64 // positions where connections began, ordered, outside of spans; the newest maxStarts
	acked  []uint64 // sequences, ordered; includes those of failed that were also acked
	failed []uint64 // sequences, ordered
}

// A span is the part of the log after from, up to and including to.
type span struct{ from, to uint64 }

// size returns how many spans, starts and acknowledgements are stored.
func (g *gateway) size() int { return len(g.spans) + len(g.starts) + len(g.acked) + len(g.failed) }

// New returns a Tracker that stores at most limit spans, starts and acknowledgements.
// Beyond that it forgets the oldest events. A gateway that missed nothing has one span;
// each connection that began without a position adds one.
func New(limit int) *Tracker {
	return &Tracker{limit: limit, gateways: make(map[string]*gateway)}
}

// Apply applies updates.
func (t *Tracker) Apply(u Updates) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(u.Floor)
	for _, p := range u.Progress {
		if p.From = max(p.From, t.floor); p.From <= p.To {
			t.progress(p)
		}
	}
	for _, a := range u.Acks {
		if a.Seq > t.floor {
			t.ack(a)
		}
	}
	// Forget a quarter of the known range at a time: forgetting visits every gateway.
	for t.size > t.limit {
		t.forget(t.floor + max((t.newest-t.floor)/4, 1))
	}
}

// gateway returns the state of a gateway. It adds an empty one if there is none.
func (t *Tracker) gateway(id string) *gateway {
	g := t.gateways[id]
	if g == nil {
		g = new(gateway)
		t.gateways[id] = g
	}
	return g
}

// progress applies a progress above the floor. mu is held.
func (t *Tracker) progress(p Progress) {
	g := t.gateway(p.GatewayID)
	before := g.size()
	if p.From == p.To {
		g.start(p.To)
	} else {
		g.spans = insertSpan(g.spans, span{p.From, p.To})
		g.dropStarts(g.spans[firstReaching(g.spans, p.To)])
	}
	t.size += g.size() - before
	t.newest = max(t.newest, p.To)
}

// ack applies an acknowledgement above the floor. mu is held. A later ack of the same
// kind changes nothing; one of the other kind is stored too, and Status resolves them.
func (t *Tracker) ack(a Ack) {
	g := t.gateway(a.GatewayID)
	set := &g.acked
	if a.Failed {
		set = &g.failed
	}
	i, found := slices.BinarySearch(*set, a.Seq)
	if found {
		return
	}
	*set = slices.Insert(*set, i, a.Seq)
	t.size++
	t.newest = max(t.newest, a.Seq)
}

// insertSpan adds a span and merges it with the spans that it overlaps or touches.
func insertSpan(spans []span, s span) []span {
	first := firstReaching(spans, s.from)
	last := first
	for ; last < len(spans) && spans[last].from <= s.to; last++ {
		s.from, s.to = min(s.from, spans[last].from), max(s.to, spans[last].to)
	}
	return slices.Replace(spans, first, last, s)
}

// firstReaching returns the index of the first span that ends at seq or later.
func firstReaching(spans []span, seq uint64) int {
	i, _ := slices.BinarySearchFunc(spans, seq, func(s span, seq uint64) int { return cmp.Compare(s.to, seq) })
	return i
}

// Status returns the delivery status of an event at one of its target gateways. Up to
// [Tracker.Floor] the status is unknown; Status then returns Pending.
func (t *Tracker) Status(gatewayID string, seq uint64) Status {
	t.mu.RLock()
	defer t.mu.RUnlock()
	g := t.gateways[gatewayID]
	switch {
	case g == nil:
		return Pending
	case has(g.failed, seq):
		return Failed
	case has(g.acked, seq):
		return Acked
	case g.delivered(seq):
		return Delivered
	}
	return Pending
}

// has reports whether an ordered set contains seq.
func has(set []uint64, seq uint64) bool {
	_, found := slices.BinarySearch(set, seq)
	return found
}

// delivered reports whether a span contains seq.
func (g *gateway) delivered(seq uint64) bool {
	i := firstReaching(g.spans, seq)
	return i < len(g.spans) && g.spans[i].from < seq
}

// Floor returns the sequence up to which nothing is known any more.
func (t *Tracker) Floor() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.floor
}

// Trim forgets events before first, the oldest that the log still has. Zero is an
// empty log: nothing is forgotten.
func (t *Tracker) Trim(first uint64) {
	if first == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(first - 1)
}

// forget forgets events up to and including floor. mu is held.
func (t *Tracker) forget(floor uint64) {
	if floor <= t.floor {
		return
	}
	t.floor = floor
	t.size = 0
	for id, g := range t.gateways {
		g.forget(floor)
		t.size += g.size()
		if g.size() == 0 {
			delete(t.gateways, id)
		}
	}
}

// forget forgets events up to and including floor. A span that crosses the floor keeps
// what is above it.
func (g *gateway) forget(floor uint64) {
	g.spans = slices.DeleteFunc(g.spans, func(s span) bool { return s.to <= floor })
	if len(g.spans) > 0 {
		g.spans[0].from = max(g.spans[0].from, floor)
	}
	g.forgetStarts(floor)
	g.acked = above(g.acked, floor)
	g.failed = above(g.failed, floor)
}

// above returns the members of a set that are greater than floor. It copies them, so
// that the memory of the others is freed.
func above(set []uint64, floor uint64) []uint64 {
	i, found := slices.BinarySearch(set, floor)
	if found {
		i++
	}
	if i == 0 {
		return set
	}
	return slices.Clone(set[i:])
}

const (
	snapshotGateways = 500      // gateways that are read under one lock
	snapshotBytes    = 64 << 10 // JSON of one part
)

// Snapshot calls yield with updates that together produce this Tracker, in parts of at
// most 64 KiB of JSON, until yield returns false. The Tracker can be used
// meanwhile; the snapshot can contain what it learns then.
func (t *Tracker) Snapshot(yield func(Updates) bool) {
	t.mu.RLock()
	ids := slices.Collect(maps.Keys(t.gateways))
	floor := t.floor
	t.mu.RUnlock()
	if floor > 0 && !yield(Updates{Floor: floor}) {
		return
	}
	for some := range slices.Chunk(ids, snapshotGateways) {
		for part := range t.updatesOf(some).Parts(snapshotBytes) {
			if !yield(part) {
				return
			}
		}
	}
}

// updatesOf returns the updates that produce the state of some gateways. It locks the
// Tracker once for all of them.
func (t *Tracker) updatesOf(ids []string) (u Updates) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, id := range ids {
		if g := t.gateways[id]; g != nil { // else it was forgotten meanwhile
			g.appendTo(&u, id)
		}
	}
	return u
}

// appendTo appends the updates that produce the state of a gateway.
func (g *gateway) appendTo(u *Updates, id string) {
	for _, s := range g.spans {
		u.Progress = append(u.Progress, Progress{id, s.from, s.to})
	}
	for _, at := range g.starts {
		u.Progress = append(u.Progress, Progress{id, at, at})
	}
	for _, seq := range g.acked {
		u.Acks = append(u.Acks, Ack{id, seq, false})
	}
	for _, seq := range g.failed {
		u.Acks = append(u.Acks, Ack{id, seq, true})
	}
}
