// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatecast/gatecast/internal/event"
)

func TestHistogram(t *testing.T) {
	h := NewHistogram(time.Millisecond, time.Second)
	for _, d := range []time.Duration{-time.Hour, 0, time.Millisecond, time.Millisecond + 1, time.Second, time.Minute} {
		h.Observe(d)
	}
	buckets, count, sum := h.Snapshot()
	if diff := cmp.Diff(map[float64]uint64{0.001: 3, 1: 5}, buckets); diff != "" {
		t.Error(diff)
	}
	if count != 6 || sum < 61 || sum > 61.01 {
		t.Errorf("%d observations of %v s, want 6 of 61.002", count, sum)
	}
}

func TestVec(t *testing.T) {
	v := NewVec("a", "b")
	v.Inc(1)
	v.Add(1, 2)
	got := map[string]uint64{}
	v.Each(func(label string, n uint64) { got[label] = n })
	if diff := cmp.Diff(map[string]uint64{"a": 0, "b": 3}, got); diff != "" || v.Load(1) != 3 {
		t.Error(diff)
	}
}

// Every reason has a name, and no two the same.
func TestNames(t *testing.T) {
	for _, names := range [][]string{event.CloseReasonNames(), event.FailureReasonNames(), event.MessageKindNames()} {
		seen := map[string]bool{}
		for i, n := range names {
			if n == "" || seen[n] {
				t.Errorf("name %d of %v is %q", i, names, n)
			}
			seen[n] = true
		}
	}
}
