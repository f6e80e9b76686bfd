// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"slices"
	"sync"
	"sync/atomic"
)

// A feed passes events to the tails as soon as the log has them, so that they do not read them
// back from the store. The zero feed is ready to use. It is safe for concurrent use.
type feed struct {
	joined atomic.Int32 // number of tails

	mu      sync.Mutex
	intakes []*intake
}

// followed reports whether there is a tail.
func (f *feed) followed() bool { return f.joined.Load() > 0 }

// join adds a tail. From now on its intake gets every entry that is pushed. What was pushed
// before, the tail reads from the store.
func (f *feed) join() *intake {
	in := &intake{wake: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.intakes = append(f.intakes, in)
	f.joined.Store(int32(len(f.intakes)))
	return in
}

// leave removes a tail.
func (f *feed) leave(in *intake) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.intakes, in)
	f.intakes = slices.Delete(f.intakes, i, i+1)
	f.joined.Store(int32(len(f.intakes)))
}

// push passes an entry that the log has to every tail. An entry without a body only says that
// the log has an event at its position. Push does not block.
//
// It is called on the goroutine that reads answers, which must never wait for a tail.
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

// An intake holds the entries that one tail has not taken yet. It can have gaps: the tail reads
// what is missing from the store.
type intake struct {
	wake chan struct{} // has a token when there are new entries

	mu      sync.Mutex
	entries []Entry
	bytes   int // of their bodies
}

// push adds an entry. When the intake is full, it drops everything else: reading from the store
// is then better for the tail.
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

// keptEntries is the capacity of the largest buffer that is used again.
const keptEntries = 256

// take returns all entries. Spent is the result of the previous take; its buffer is used
// again.
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
