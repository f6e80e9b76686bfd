// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A trimmer gives memory back to the system after a peak. A connect storm needs
// several times what its connections keep, and Go's collector, which lets the
// heap grow to twice what is alive, would hold on to it for as long as the node
// is idle. Under load the collector's own pace is right, and the trimmer rests.
type trimmer struct {
	cancel context.CancelFunc
	done   chan struct{}
}

const (
	trimEvery = 2 * time.Second
	// minExcess is how much memory is worth a collection, in bytes.
	minExcess = 4 << 20
)

func startTrimmer() *trimmer {
	ctx, cancel := context.WithCancel(context.Background())
	t := &trimmer{cancel, make(chan struct{})}
	go func() {
		defer close(t.done)
		trim(ctx)
	}()
	return t
}

func (t *trimmer) stop() {
	t.cancel()
	<-t.done
}

func trim(ctx context.Context) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	last := readHeap()
	var floor uint64 // what the last trim left
	busy := true     // a start is a peak too
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		heap := readHeap()
		switch quiet := heap.allocs-last.allocs < heap.slack(); {
		case !quiet:
			busy = true
		case busy || heap.excessive(floor):
			debug.FreeOSMemory()
			heap = readHeap()
			floor, busy = heap.held, false
		}
		last = heap
	}
}

// A heapState is Go's heap at one moment, in bytes.
type heapState struct {
	held   uint64 // of the system's memory
	live   uint64 // when the last collection ended
	allocs uint64 // since the start
}

func readHeap() heapState {
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(s)
	v := func(i int) uint64 { return s[i].Value.Uint64() }
	return heapState{held: v(0) + v(1) + v(2), live: v(3), allocs: v(4)}
}

// excessive reports whether much more is held than is alive, and than a trim
// could not free before.
func (h heapState) excessive(floor uint64) bool {
	return h.held > max(h.live, floor)+h.slack()
}

// slack is what may be dead and held. Less is allocated between two looks, at any
// number of connections that are idle but for pings.
func (h heapState) slack() uint64 { return minExcess + h.live/4 }
