// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestHistogramQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Map(rapid.Int64Range(0, 1<<62), func(v int64) time.Duration {
			return time.Duration(v >> (v & 63)) // of all magnitudes
		}), 1, 200).Draw(t, "times")
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		var h histogram
		for _, d := range times {
			h.add(d)
		}
		slices.Sort(times)
		want := quantile(times, q)
		if got := h.quantile(q); got < want || got > want+want/rowBuckets {
			t.Fatalf("%v; want %v to a 128th more", got, want)
		}
		if longest := times[len(times)-1]; h.max() != longest || h.quantile(1) != longest {
			t.Fatalf("max %v, quantile 1 %v; want %v", h.max(), h.quantile(1), longest)
		}
	})
}

func TestHistogramEdges(t *testing.T) {
	var h histogram
	if h.quantile(0.5) != 0 || h.max() != 0 {
		t.Errorf("empty: median %v, max %v; want 0", h.quantile(0.5), h.max())
	}
	h.add(-time.Second) // a clock that was set back
	h.add(1<<63 - 1)
	if got := h.quantile(0); got != 0 {
		t.Errorf("a negative duration counts as %v", got)
	}
	if got := h.quantile(1); got != 1<<63-1 {
		t.Errorf("the longest duration counts as %v", got)
	}
}

// Buckets follow each other without gaps.
func TestHistogramBuckets(t *testing.T) {
	for i := range histogramSize - 1 {
		end := bucketEnd(i)
		if bucketOf(end) != i || bucketOf(end+1) != i+1 {
			t.Fatalf("bucket %d ends with %d, which is in %d; the next is in %d", i, end, bucketOf(end), bucketOf(end+1))
		}
	}
}
