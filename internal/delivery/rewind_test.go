// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"testing"

	"pgregory.net/rapid"
)

// After Rewind a book knows what it would have known without anything after that place.
func TestRewind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := drawFacts(t)
		seq := rapid.Uint64Range(0, 40).Draw(t, "seq")
		got, want := NewBook(1000), NewBook(1000)
		got.Apply(facts)
		got.Rewind(seq)
		want.Apply(facts.UpTo(seq))
		for g := range got.tracks {
			for s := range uint64(60) {
				if a, b := got.Of(g, s), want.Of(g, s); a != b {
					t.Fatalf("after a rewind of %+v to %d, %s at %d is %v; want %v", facts, seq, g, s, a, b)
				}
			}
		}
		size := 0
		for _, track := range got.tracks {
			size += track.size()
		}
		if got.size != size || got.newest > seq && got.newest > want.newest {
			t.Fatalf("size %d, want %d; newest %d", got.size, size, got.newest)
		}
	})
}

func TestRewindKeepsStarts(t *testing.T) {
	b := NewBook(1000)
	b.Apply(Facts{Progress: []Progress{{"g", 5, 5}, {"h", 9, 9}}})
	b.Rewind(7)
	if !b.Knows("g", 5) || b.Knows("h", 9) {
		t.Errorf("g begins at 5: %v, h at 9: %v", b.Knows("g", 5), b.Knows("h", 9))
	}
}
