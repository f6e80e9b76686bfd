// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package outcome

import (
	"maps"
	"slices"
	"sync"
)

// A State is what became of an event at a gateway it was for.
type State uint8

// States, in the order in which they follow each other. Delivered goes on to Acked
// or Failed, and Acked to Failed: when replicas of a gateway answer differently,
// it has failed.
const (
	Pending   State = iota // not written to a connection of the gateway's
	Delivered              // written to one, not answered
	Acked                  // answered as applied
	Failed                 // answered as failed
)

// maxSpans bounds the spans of one gateway. It takes so many connections that
// began without a position, with events between them that nobody got.
const maxSpans = 16

// A Book knows what became of events. Any goroutine may use it.
type Book struct {
	maxAnswers int // constant

	mu      sync.RWMutex
	tracks  map[string]*track
	answers int    // in all tracks
	floor   uint64 // nothing is known of events up to here
	newest  uint64 // highest sequence that was told
}

// A track is what is known of one gateway.
type track struct {
	spans  []span   // in order, apart from each other
	acked  []uint64 // sequences, in order; also of those in failed
	failed []uint64
}

// A span is the part of the log behind from, up to to.
type span struct{ from, to uint64 }

// NewBook returns a Book that holds so many answers at most, about: at the bound
// it forgets the oldest events.
func NewBook(maxAnswers int) *Book {
	return &Book{maxAnswers: maxAnswers, tracks: make(map[string]*track)}
}

// Apply takes facts.
func (b *Book) Apply(f Facts) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range f.Progress {
		if p.From = max(p.From, b.floor); p.From < p.To {
			t := b.track(p.GatewayID)
			t.spans = insertSpan(t.spans, span{p.From, p.To})
			b.newest = max(b.newest, p.To)
		}
	}
	for _, a := range f.Answers {
		if a.Seq > b.floor {
			b.answer(a)
		}
	}
	for b.answers > b.maxAnswers {
		b.forget(b.floor + max((b.newest-b.floor)/4, 1))
	}
}

func (b *Book) track(gateway string) *track {
	t := b.tracks[gateway]
	if t == nil {
		t = new(track)
		b.tracks[gateway] = t
	}
	return t
}

func (b *Book) answer(a Answer) {
	t := b.track(a.GatewayID)
	set := &t.acked
	if a.Failed {
		set = &t.failed
	}
	i, found := slices.BinarySearch(*set, a.Seq)
	if found {
		return
	}
	*set = slices.Insert(*set, i, a.Seq)
	b.answers++
	b.newest = max(b.newest, a.Seq)
}

// insertSpan adds a span, joined with those it touches.
func insertSpan(spans []span, s span) []span {
	first, _ := slices.BinarySearchFunc(spans, s.from, func(x span, from uint64) int {
		if x.to < from {
			return -1
		}
		return 1
	})
	last := first
	for ; last < len(spans) && spans[last].from <= s.to; last++ {
		s.from, s.to = min(s.from, spans[last].from), max(s.to, spans[last].to)
	}
	spans = slices.Replace(spans, first, last, s)
	if len(spans) > maxSpans {
		spans = slices.Delete(spans, 0, len(spans)-maxSpans)
	}
	return spans
}

// Of returns what became of the event with a sequence at a gateway it was for.
// Of events up to [Book.Floor] it knows nothing, and says Pending.
func (b *Book) Of(gateway string, seq uint64) State {
	b.mu.RLock()
	defer b.mu.RUnlock()
	t := b.tracks[gateway]
	switch {
	case t == nil:
		return Pending
	case has(t.failed, seq):
		return Failed
	case has(t.acked, seq):
		return Acked
	case t.covers(seq):
		return Delivered
	}
	return Pending
}

func has(set []uint64, seq uint64) bool {
	_, found := slices.BinarySearch(set, seq)
	return found
}

func (t *track) covers(seq uint64) bool {
	return slices.ContainsFunc(t.spans, func(s span) bool { return s.from < seq && seq <= s.to })
}

// Floor returns the place in the log up to which nothing is known any more.
func (b *Book) Floor() uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.floor
}

// Trim forgets events below first, which have left the log.
func (b *Book) Trim(first uint64) {
	if first == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(first - 1)
}

// forget forgets events up to floor.
func (b *Book) forget(floor uint64) {
	if floor <= b.floor {
		return
	}
	b.floor = floor
	b.answers = 0
	for gateway, t := range b.tracks {
		t.forget(floor)
		if len(t.spans)+len(t.acked)+len(t.failed) == 0 {
			delete(b.tracks, gateway)
		}
		b.answers += len(t.acked) + len(t.failed)
	}
}

func (t *track) forget(floor uint64) {
	t.spans = slices.DeleteFunc(t.spans, func(s span) bool { return s.to <= floor })
	if len(t.spans) > 0 {
		t.spans[0].from = max(t.spans[0].from, floor)
	}
	t.acked = above(t.acked, floor)
	t.failed = above(t.failed, floor)
}

// above returns what of a set is above floor.
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

// snapshotGateways is how many gateways a piece of a snapshot tells of.
const snapshotGateways = 500

// Snapshot calls yield with facts that together make this Book, until it returns
// false. The Book can be used meanwhile; what it learns then may be in them.
func (b *Book) Snapshot(yield func(Facts) bool) {
	b.mu.RLock()
	gateways := slices.Collect(maps.Keys(b.tracks))
	b.mu.RUnlock()
	for part := range slices.Chunk(gateways, snapshotGateways) {
		if f := b.factsOf(part); !yield(f) {
			return
		}
	}
}

func (b *Book) factsOf(gateways []string) (f Facts) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, id := range gateways {
		t := b.tracks[id]
		if t == nil {
			continue
		}
		for _, s := range t.spans {
			f.Progress = append(f.Progress, Progress{id, s.from, s.to})
		}
		for _, seq := range t.acked {
			f.Answers = append(f.Answers, Answer{id, seq, false})
		}
		for _, seq := range t.failed {
			f.Answers = append(f.Answers, Answer{id, seq, true})
		}
	}
	return f
}
