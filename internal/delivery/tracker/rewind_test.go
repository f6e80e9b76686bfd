// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tracker

import (
	"testing"

	"pgregory.net/rapid"
)

// After Rewind a Tracker is as if it had never got an update about later events.
func TestRewind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		updates := drawUpdates(t)
		seq := rapid.Uint64Range(0, 40).Draw(t, "seq")
		got, want := New(1000), New(1000)
		got.Apply(updates)
		got.Rewind(seq)
		want.Apply(updates.UpTo(seq))
		for g := range got.gateways {
			for s := range uint64(60) {
				if a, b := got.Status(g, s), want.Status(g, s); a != b {
					t.Fatalf("after a rewind of %+v to %d, %s at %d is %v; want %v", updates, seq, g, s, a, b)
				}
			}
		}
		size := 0
		for _, g := range got.gateways {
			size += g.size()
		}
		if got.size != size || got.newest > seq && got.newest > want.newest {
			t.Fatalf("size %d, want %d; newest %d", got.size, size, got.newest)
		}
	})
}

func TestRewindKeepsStarts(t *testing.T) {
	b := New(1000)
	b.Apply(Updates{Progress: []Progress{{"g", 5, 5}, {"h", 9, 9}}})
	b.Rewind(7)
	if !b.HasStart("g", 5) || b.HasStart("h", 9) {
		t.Errorf("g begins at 5: %v, h at 9: %v", b.HasStart("g", 5), b.HasStart("h", 9))
	}
}
