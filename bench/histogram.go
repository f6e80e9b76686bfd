// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram counts durations in buckets whose width is at most 1/128 of the duration, so that the
// memory of a run does not grow with its deliveries. Goroutines can call add at the same time;
// quantiles are read after the last add. The zero histogram is empty.
type histogram struct {
	buckets [histogramSize]atomic.Int64
	count   atomic.Int64
	longest atomic.Int64
}

// Each duration in the lowest two rows has its own bucket. The buckets of each higher row are twice
// as wide as those of the row below.
const (
	rowBits       = 7
	rowBuckets    = 1 << rowBits
	histogramSize = (64 - rowBits) * rowBuckets
)

// bucketOf returns the index of the bucket of d.
func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	row := max(bits.Len64(v)-1-rowBits, 0)
	return row*rowBuckets + int(v>>row)
}

// bucketEnd returns the longest duration in bucket i.
func bucketEnd(i int) time.Duration {
	if i < 2*rowBuckets {
		return time.Duration(i)
	}
	row := i/rowBuckets - 1
	return time.Duration((i%rowBuckets+rowBuckets+1)<<row - 1)
}

// add counts a duration. A negative one counts as zero.
func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(d)].Add(1)
	h.count.Add(1)
	raise(&h.longest, int64(d))
}

// raise sets v to the maximum of v and to.
func raise(v *atomic.Int64, to int64) {
	for have := v.Load(); have < to && !v.CompareAndSwap(have, to); have = v.Load() {
	}
}

// max returns the longest duration, exactly, or 0 if the histogram is empty.
func (h *histogram) max() time.Duration { return time.Duration(h.longest.Load()) }

// quantile returns the duration below which a fraction q of the durations lies. It is too long by
// at most 1/128, and 0 if the histogram is empty.
func (h *histogram) quantile(q float64) time.Duration {
	count := h.count.Load()
	if count == 0 {
		return 0
	}
	rank := min(int64(q*float64(count)), count-1) // the same index as in func quantile
	for i := range h.buckets {
		if rank -= h.buckets[i].Load(); rank < 0 {
			return min(bucketEnd(i), h.max())
		}
	}
	return h.max()
}
