// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// An idList holds what a sorted set would.
func TestIDList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l idList
		set := make(map[string]bool)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		// In long runs, or no block would ever be full or empty.
		for range rapid.IntRange(1, 4).Draw(t, "runs") {
			adding := rapid.Bool().Draw(t, "adding")
			for range rapid.IntRange(0, 3*maxBlock).Draw(t, "steps") {
				id := fmt.Sprintf("%04d", rng.IntN(2*maxBlock))
				if adding {
					l.insert(id)
					set[id] = true
				} else {
					l.remove(id)
					delete(set, id)
				}
			}
			want := slices.Sorted(maps.Keys(set))
			after := fmt.Sprintf("%04d", rng.IntN(2*maxBlock))
			checkIDs(t, &l, "", want)
			i, found := slices.BinarySearch(want, after)
			if found {
				i++
			}
			checkIDs(t, &l, after, want[i:])
		}
	})
}

func checkIDs(t *rapid.T, l *idList, after string, want []string) {
	t.Helper()
	if got := slices.Collect(l.after(after)); !slices.Equal(got, want) {
		t.Fatalf("after %q: %d ids, %v; want %d, %v", after, len(got), got, len(want), want)
	}
	for i, block := range l.blocks {
		if len(block) == 0 || len(block) > maxBlock {
			t.Fatalf("block %d has %d ids", i, len(block))
		}
	}
}
