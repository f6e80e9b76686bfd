// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestHeapExcessive(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name  string
		heap  heapState
		floor uint64
		want  bool
	}{
		{"after a storm", heapState{held: 90 * mb, live: 30 * mb}, 0, true},
		{"nothing to gain", heapState{held: 40 * mb, live: 30 * mb}, 0, false},
		{"nothing gained last time", heapState{held: 71 * mb, live: 30 * mb}, 60 * mb, false},
		{"a new peak", heapState{held: 90 * mb, live: 30 * mb}, 60 * mb, true},
		{"small", heapState{held: 5 * mb, live: 2 * mb}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.heap.excessive(c.floor); got != c.want {
				t.Errorf("excessive = %v", got)
			}
		})
	}
}

func TestReadHeapSeesWhatIsHeld(t *testing.T) {
	debug.FreeOSMemory()
	before := readHeap()
	ballast := make([]byte, 64<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	after := readHeap()
	runtime.KeepAlive(ballast)
	if grown := after.held - before.held; grown < 60<<20 || grown > 80<<20 {
		t.Errorf("64 MiB more on the heap show as %d bytes held", grown)
	}
	if after.allocs-before.allocs < 64<<20 {
		t.Errorf("64 MiB allocated show as %d", after.allocs-before.allocs)
	}
	if before.live == 0 {
		t.Error("a collection left nothing alive")
	}
}
