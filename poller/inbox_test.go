// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"runtime"
	"slices"
	"sync"
	"testing"
)

func TestInboxKeepsOrder(t *testing.T) {
	var q Inbox[int]
	if !q.Push(1) {
		t.Error("the first push does not find the inbox empty")
	}
	if q.Push(2) || q.Push(3) {
		t.Error("a later push finds the inbox empty")
	}
	if got, want := q.Take([]int{0}), []int{0, 1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("Take = %v, want %v", got, want)
	}
	if got := q.Take(nil); len(got) != 0 {
		t.Errorf("Take of an empty inbox = %v", got)
	}
}

// Every producer's values arrive in its order, none lost, none twice, whatever
// the interleaving with the consumer.
func TestInboxManyProducers(t *testing.T) {
	const producers, each = 8, 5000
	type item struct{ producer, n int }
	var (
		q      Inbox[item]
		pushed sync.WaitGroup
	)
	for p := range producers {
		pushed.Go(func() {
			for n := range each {
				q.Push(item{p, n})
			}
		})
	}
	var next [producers]int
	var batch []item
	for total := 0; total < producers*each; total += len(batch) {
		if batch = q.Take(batch[:0]); len(batch) == 0 {
			runtime.Gosched()
		}
		for _, it := range batch {
			if it.n != next[it.producer] {
				t.Fatalf("producer %d: got %d, want %d", it.producer, it.n, next[it.producer])
			}
			next[it.producer]++
		}
	}
	pushed.Wait()
	if rest := q.Take(nil); len(rest) != 0 {
		t.Errorf("%d items came twice", len(rest))
	}
}

func BenchmarkInbox(b *testing.B) {
	var q Inbox[[6]uint64]
	var batch [][6]uint64
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		q.Push([6]uint64{})
		if n%64 == 0 {
			batch = q.Take(batch[:0])
		}
	}
}
