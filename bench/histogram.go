// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram counts times in buckets that are at most 1/128 of their time wide,
// so that a run's memory does not grow with its deliveries. Any goroutine may
// add; quantiles are for when nobody does any more. The zero histogram is empty.
type histogram struct {
	buckets [histogramSize]atomic.Int64
	count   atomic.Int64
	longest atomic.Int64
}

// Times below two rows of a histogram have a bucket each. Every row above has
// buckets twice as wide as the one below.
const (
	rowBits       = 7
	rowBuckets    = 1 << rowBits
	histogramSize = (64 - rowBits) * rowBuckets
)

// bucketOf returns the index of a time's bucket.
func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	row := max(bits.Len64(v)-1-rowBits, 0)
	return row*rowBuckets + int(v>>row)
}

// bucketEnd returns the longest time in a bucket.
func bucketEnd(i int) time.Duration {
	if i < 2*rowBuckets {
		return time.Duration(i)
	}
	row := i/rowBuckets - 1
	return time.Duration((i%rowBuckets+rowBuckets+1)<<row - 1)
}

// add counts a time. One before zero is counted as zero.
func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(d)].Add(1)
	h.count.Add(1)
	raise(&h.longest, int64(d))
}

// raise makes v at least to.
func raise(v *atomic.Int64, to int64) {
	for have := v.Load(); have < to && !v.CompareAndSwap(have, to); have = v.Load() {
	}
}

// max returns the longest time, exactly; 0 if there is none.
func (h *histogram) max() time.Duration { return time.Duration(h.longest.Load()) }

// quantile returns the time below which a part q of the times lies, too long by
// a 128th at most; 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	count := h.count.Load()
	if count == 0 {
		return 0
	}
	rank := min(int64(q*float64(count)), count-1) // as quantile's index
	for i := range h.buckets {
		if rank -= h.buckets[i].Load(); rank < 0 {
			return min(bucketEnd(i), h.max())
		}
	}
	return h.max()
}
