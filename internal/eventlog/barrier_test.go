// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"math"
	"testing"

	"github.com/gatecast/gatecast/internal/event"
)

// Whatever has happened to the epoch of a barrier, older events stay before the barrier, and
// events that are known to be newer stay after it.
func TestBarrier(t *testing.T) {
	// Epoch 20 was merged into 10, and 60 was lost when the log went back to 100.
	l := &Lineage{epochs: []epoch{{10, 50}, {30, 80}, {50, 100}, {70, math.MaxUint64}}}
	for _, c := range []struct {
		name  string
		epoch uint64
		seq   uint64
		want  uint64
	}{
		{"of an earlier epoch", 10, 40, 40},
		{"of the newest", 70, 120, 120},
		{"lost from the end of an epoch", 50, 140, 100},
		{"of a log before this one", 5, 9000, 0},
		{"of an epoch without events", 20, 50, 50},
		{"of an epoch that was lost", 60, 300, 100},
		{"of an epoch that this node has not come to", 90, 300, 300},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := l.Barrier(event.Cursor{Epoch: c.epoch, Seq: c.seq}); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}
