// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package heap

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestExcessive(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name  string
		state state
		floor uint64
		want  bool
	}{
		{"after a storm", state{held: 90 * mb, live: 30 * mb}, 0, true},
		{"nothing to gain", state{held: 40 * mb, live: 30 * mb}, 0, false},
		{"nothing gained last time", state{held: 71 * mb, live: 30 * mb}, 60 * mb, false},
		{"a new peak", state{held: 90 * mb, live: 30 * mb}, 60 * mb, true},
		{"small", state{held: 5 * mb, live: 2 * mb}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.state.excessive(c.floor); got != c.want {
				t.Errorf("excessive = %v", got)
			}
		})
	}
}

func TestReadState(t *testing.T) {
	debug.FreeOSMemory()
	before := readState()
	ballast := make([]byte, 64<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	after := readState()
	runtime.KeepAlive(ballast)
	if grown := after.held - before.held; grown < 60<<20 || grown > 80<<20 {
		t.Errorf("64 MiB more on the heap appear as %d bytes held", grown)
	}
	if after.allocated-before.allocated < 64<<20 {
		t.Errorf("64 MiB allocated appear as %d", after.allocated-before.allocated)
	}
	if before.live == 0 {
		t.Error("nothing is live after a collection")
	}
}
