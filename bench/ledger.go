// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"slices"
	"sync"

	"github.com/gatecast/gatecast/internal/event"
)

// A ledger records which events were published for which gateways, in the order in which one
// publisher published them. An event is added after its receipt.
type ledger struct {
	mu    sync.Mutex
	toOne map[int64][]entry // by gateway number
	toAll []entry
}

// An entry is one event.
type entry struct {
	n      int64 // number of the event
	cursor event.Cursor
}

func newLedger() *ledger { return &ledger{toOne: make(map[int64][]entry)} }

// enter adds an event for a gateway, or for all gateways if gateway is 0.
func (l *ledger) enter(gateway int64, e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if gateway == 0 {
		l.toAll = append(l.toAll, e)
		return
	}
	l.toOne[gateway] = append(l.toOne[gateway], e)
}

// after returns, in order, the numbers of the events after cursor c that a connection of the
// gateway must receive.
func (l *ledger) after(gateway int64, c event.Cursor) (numbers []int64) {
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
