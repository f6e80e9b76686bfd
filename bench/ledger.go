// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"slices"
	"sync"

	"github.com/gatecast/gatecast/internal/event"
)

// A ledger has what was published to whom. Events are entered in the order in
// which one publisher published them, when their receipts are in.
type ledger struct {
	mu    sync.Mutex
	toOne map[int64][]entry // by the gateway's number
	toAll []entry
}

// An entry is one event.
type entry struct {
	n      int64 // its number
	cursor event.Cursor
}

func newLedger() *ledger { return &ledger{toOne: make(map[int64][]entry)} }

// enter enters an event for a gateway, or for all if that is 0.
func (l *ledger) enter(gateway int64, e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if gateway == 0 {
		l.toAll = append(l.toAll, e)
		return
	}
	l.toOne[gateway] = append(l.toOne[gateway], e)
}

// behind returns the numbers of the events that a connection of a gateway must
// get that began at a cursor: all behind it, in order.
func (l *ledger) behind(gateway int64, c event.Cursor) (numbers []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, list := range [][]entry{l.toOne[gateway], l.toAll} {
		first, _ := slices.BinarySearchFunc(list, c.Seq+1, func(e entry, seq uint64) int { return cmp.Compare(e.cursor.Seq, seq) })
		for _, e := range list[first:] {
			numbers = append(numbers, e.n)
		}
	}
	slices.Sort(numbers)
	return numbers
}
