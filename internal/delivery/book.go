// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"cmp"
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

// A Book knows what became of events. Any goroutine may use it.
type Book struct {
	limit int // of size; constant

	mu     sync.RWMutex
	tracks map[string]*track
	size   int    // of all tracks together
	floor  uint64 // nothing is known of events up to here
	newest uint64 // highest sequence that was told
}

// A track is what is known of one gateway.
type track struct {
	spans  []span   // in order, apart from each other
	starts []uint64 // places where connections began, in order, apart from spans; the newest maxStarts
	acked  []uint64 // sequences, in order; also of those in failed
	failed []uint64
}

// A span is the part of the log behind from, up to to.
type span struct{ from, to uint64 }

// size returns how much a track holds.
func (t *track) size() int { return len(t.spans) + len(t.starts) + len(t.acked) + len(t.failed) }

// NewBook returns a Book that holds so many spans and answers at most: when it
// would be more it forgets the oldest events. A span is a gateway's that has not
// missed anything, or a connection's that began without a position.
func NewBook(limit int) *Book {
	return &Book{limit: limit, tracks: make(map[string]*track)}
}

// Apply takes facts.
func (b *Book) Apply(f Facts) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(f.Floor)
	for _, p := range f.Progress {
		if p.From = max(p.From, b.floor); p.From <= p.To {
			b.progress(p)
		}
	}
	for _, a := range f.Answers {
		if a.Seq > b.floor {
			b.answer(a)
		}
	}
	for b.size > b.limit {
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

func (b *Book) progress(p Progress) {
	t := b.track(p.GatewayID)
	before := t.size()
	if p.From == p.To {
		t.start(p.To)
	} else {
		t.spans = insertSpan(t.spans, span{p.From, p.To})
		t.dropStarts(t.spans[reaching(t.spans, p.To)])
	}
	b.size += t.size() - before
	b.newest = max(b.newest, p.To)
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
	b.size++
	b.newest = max(b.newest, a.Seq)
}

// insertSpan adds a span, joined with those it touches.
func insertSpan(spans []span, s span) []span {
	first := reaching(spans, s.from)
	last := first
	for ; last < len(spans) && spans[last].from <= s.to; last++ {
		s.from, s.to = min(s.from, spans[last].from), max(s.to, spans[last].to)
	}
	return slices.Replace(spans, first, last, s)
}

// reaching returns the index of the first span that ends at a place or behind it.
func reaching(spans []span, place uint64) int {
	i, _ := slices.BinarySearchFunc(spans, place, func(s span, place uint64) int { return cmp.Compare(s.to, place) })
	return i
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
	i := reaching(t.spans, seq)
	return i < len(t.spans) && t.spans[i].from < seq
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
	b.size = 0
	for gateway, t := range b.tracks {
		t.forget(floor)
		b.size += t.size()
		if t.size() == 0 {
			delete(b.tracks, gateway)
		}
	}
}

func (t *track) forget(floor uint64) {
	t.spans = slices.DeleteFunc(t.spans, func(s span) bool { return s.to <= floor })
	if len(t.spans) > 0 {
		t.spans[0].from = max(t.spans[0].from, floor)
	}
	t.forgetStarts(floor)
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

const (
	snapshotGateways = 500      // that are looked at while the Book is locked
	snapshotBytes    = 64 << 10 // of the JSON of a piece
)

// Snapshot calls yield with facts that together make this Book, each of at most
// 64 KiB of JSON, until it returns false. The Book can be used meanwhile; what it
// learns then may be in them.
func (b *Book) Snapshot(yield func(Facts) bool) {
	b.mu.RLock()
	gateways := slices.Collect(maps.Keys(b.tracks))
	floor := b.floor
	b.mu.RUnlock()
	if floor > 0 && !yield(Facts{Floor: floor}) {
		return
	}
	for some := range slices.Chunk(gateways, snapshotGateways) {
		for part := range b.factsOf(some).Parts(snapshotBytes) {
			if !yield(part) {
				return
			}
		}
	}
}

func (b *Book) factsOf(gateways []string) (f Facts) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, id := range gateways {
		if t := b.tracks[id]; t != nil { // else it was forgotten meanwhile
			t.appendTo(&f, id)
		}
	}
	return f
}

func (t *track) appendTo(f *Facts, gateway string) {
	for _, s := range t.spans {
		f.Progress = append(f.Progress, Progress{gateway, s.from, s.to})
	}
	for _, place := range t.starts {
		f.Progress = append(f.Progress, Progress{gateway, place, place})
	}
	for _, seq := range t.acked {
		f.Answers = append(f.Answers, Answer{gateway, seq, false})
	}
	for _, seq := range t.failed {
		f.Answers = append(f.Answers, Answer{gateway, seq, true})
	}
}
