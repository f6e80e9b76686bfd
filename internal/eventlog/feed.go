// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"slices"
	"sync"
	"sync/atomic"
)

// A feed hands what was appended to the tails as soon as the log has it, so that
// they need not have it read back from the store. The zero feed is ready.
type feed struct {
	joined atomic.Int32 // how many tails there are

	mu      sync.Mutex
	intakes []*intake
}

// followed reports whether there is a tail.
func (f *feed) followed() bool { return f.joined.Load() > 0 }

func (f *feed) join() *intake {
	in := &intake{wake: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.intakes = append(f.intakes, in)
	f.joined.Store(int32(len(f.intakes)))
	return in
}

func (f *feed) leave(in *intake) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.intakes, in)
	f.intakes = slices.Delete(f.intakes, i, i+1)
	f.joined.Store(int32(len(f.intakes)))
}

// push hands an entry that the log has to every tail. An entry without a body
// says no more than that the log has one at its place. Push never waits.
func (f *feed) push(e Entry) {
	if !f.followed() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, in := range f.intakes {
		in.push(e)
	}
}

// An intake is what the feed has for one tail and the tail has not taken yet. It
// may have gaps: the tail reads what is missing from the store.
type intake struct {
	wake chan struct{} // has a token when entries came to be there

	mu      sync.Mutex
	entries []Entry
	bytes   int // of their bodies
}

// push adds an entry. When the tail is far behind it is better off with the
// store, and everything else in the intake is dropped.
func (in *intake) push(e Entry) {
	in.mu.Lock()
	if len(in.entries) == tailEvents || in.bytes+len(e.Body) > tailBytes {
		in.entries, in.bytes = nil, 0
	}
	in.entries = append(in.entries, e)
	in.bytes += len(e.Body)
	first := len(in.entries) == 1
	in.mu.Unlock()
	if first {
		select {
		case in.wake <- struct{}{}:
		default: // the last token has not been taken
		}
	}
}

// keptEntries is the largest buffer that is used again.
const keptEntries = 256

// take returns everything that is there. Spent is the result of the take before,
// which is done with.
func (in *intake) take(spent []Entry) []Entry {
	if clear(spent); cap(spent) > keptEntries {
		spent = nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	taken := in.entries
	in.entries, in.bytes = spent[:0], 0
	return taken
}
