// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package heap returns memory to the system when a node is idle after a peak.
package heap

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// trimEvery is the time between two checks of the heap.
	trimEvery = 2 * time.Second
	// minExcess is the least memory that is worth a collection, in bytes.
	minExcess = 4 << 20
)

// A Trimmer collects and returns memory to the system when the process becomes idle. A
// storm of connections needs several times the memory that they keep. Go's collector
// lets the heap grow to a multiple of what is alive, and its scavenger keeps most of
// that for as long as the process is idle. Under load the Trimmer does nothing.
type Trimmer struct {
	cancel context.CancelFunc
	ended  chan struct{} // closed when the goroutine has returned
}

// StartTrimmer starts a Trimmer's goroutine.
func StartTrimmer() *Trimmer {
	ctx, cancel := context.WithCancel(context.Background())
	t := &Trimmer{cancel, make(chan struct{})}
	go func() {
		defer close(t.ended)
		trim(ctx)
	}()
	return t
}

// Stop ends the goroutine and waits for it.
func (t *Trimmer) Stop() {
	t.cancel()
	<-t.ended
}

func trim(ctx context.Context) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	last := readState()
	var floor uint64 // held after the last trim
	busy := true     // a start is a peak too
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := readState()
		switch idle := now.allocated-last.allocated < now.slack(); {
		case !idle:
			busy = true
		case busy || now.excessive(floor):
			debug.FreeOSMemory()
			now = readState()
			floor, busy = now.held, false
		}
		last = now
	}
}

// A state is Go's heap at one moment, in bytes.
type state struct {
	held      uint64 // memory of the system
	live      uint64 // at the end of the last collection
	allocated uint64 // in total since the process started
}

func readState() state {
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(s)
	v := func(i int) uint64 { return s[i].Value.Uint64() }
	return state{held: v(0) + v(1) + v(2), live: v(3), allocated: v(4)}
}

// excessive reports whether much more is held than is live, and than was held after the
// last trim: what that could not free, the next one cannot either.
func (s state) excessive(floor uint64) bool {
	return s.held > max(s.live, floor)+s.slack()
}

// slack is how much can be held without being live. Pings of idle connections, however
// many, allocate less between two checks.
func (s state) slack() uint64 { return minExcess + s.live/4 }
