// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"slices"
	"sync/atomic"
	"time"
)

// A Counter only grows. One goroutine owns it and writes it; any goroutine can load it.
// With one writer a plain load and store do the work of a locked add.
type Counter struct{ v atomic.Uint64 }

// Inc adds one. Owner only.
func (c *Counter) Inc() { c.Add(1) }

// Add adds n. Owner only.
func (c *Counter) Add(n uint64) { c.v.Store(c.v.Load() + n) }

// Load returns the count.
func (c *Counter) Load() uint64 { return c.v.Load() }

// A Gauge goes up and down. One goroutine owns it and writes it; any goroutine can load
// it.
type Gauge struct{ v atomic.Int64 }

// Add adds n. Owner only.
func (g *Gauge) Add(n int64) { g.v.Store(g.v.Load() + n) }

// Set sets the gauge. Owner only.
func (g *Gauge) Set(n int64) { g.v.Store(n) }

// Load returns the value.
func (g *Gauge) Load() int64 { return g.v.Load() }

// A Vec is one counter per value of a label. The values are fixed. Like a [Counter] it
// has one owner.
type Vec struct {
	labels []string // constant
	counts []Counter
}

// NewVec returns a Vec with the given label values. Inc, Add and Load take the index of
// a value.
func NewVec(labels ...string) *Vec {
	return &Vec{labels: labels, counts: make([]Counter, len(labels))}
}

// Inc adds one to the counter of label i. Owner only.
func (v *Vec) Inc(i int) { v.counts[i].Inc() }

// Add adds n to the counter of label i. Owner only.
func (v *Vec) Add(i int, n uint64) { v.counts[i].Add(n) }

// Load returns the count of label i.
func (v *Vec) Load(i int) uint64 { return v.counts[i].Load() }

// Each calls f with every label value and its count.
func (v *Vec) Each(f func(label string, n uint64)) {
	for i := range v.counts {
		f(v.labels[i], v.counts[i].Load())
	}
}

// A Histogram counts durations in fixed buckets. One goroutine owns it and writes it;
// any goroutine can load it. A reader can see an observation in a bucket before it is
// in the sum.
type Histogram struct {
	bounds []time.Duration // upper bounds, ascending; constant
	counts []Counter       // one per bound, and one for longer durations
	sum    Counter         // nanoseconds
}

// NewHistogram returns a histogram with the given upper bounds, which ascend.
func NewHistogram(bounds ...time.Duration) *Histogram {
	if !slices.IsSorted(bounds) {
		panic("BUG: histogram bounds are not ascending")
	}
	return &Histogram{bounds: bounds, counts: make([]Counter, len(bounds)+1)}
}

// Observe counts one duration. A negative one, as from a clock that was set back,
// counts as zero. Owner only.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < len(h.bounds) && d > h.bounds[i] {
		i++
	}
	h.counts[i].Inc()
	h.sum.Add(uint64(d))
}

// Snapshot returns what Prometheus wants: cumulative counts by upper bound in seconds,
// the number of observations, and their sum in seconds.
func (h *Histogram) Snapshot() (buckets map[float64]uint64, count uint64, sum float64) {
	buckets = make(map[float64]uint64, len(h.bounds))
	for i, b := range h.bounds {
		count += h.counts[i].Load()
		buckets[b.Seconds()] = count
	}
	count += h.counts[len(h.bounds)].Load()
	return buckets, count, time.Duration(h.sum.Load()).Seconds()
}
