// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"sync/atomic"
	"time"
)

// A lastFailure is when and why a delivery failed last. Anyone may load it.
type lastFailure struct {
	v atomic.Pointer[failureAt]
}

type failureAt struct {
	at     time.Time
	reason Failure
}

func (l *lastFailure) store(at time.Time, reason Failure) { l.v.Store(&failureAt{at, reason}) }

func (l *lastFailure) load() (at time.Time, reason Failure, ok bool) {
	f := l.v.Load()
	if f == nil {
		return time.Time{}, 0, false
	}
	return f.at, f.reason, true
}

// Failures counts failed deliveries that belong to no shard: those to gateways
// that were not connected, and those that gateways rejected. It may have many
// writers. The zero Failures has counted none.
type Failures struct {
	counts [numFailures]atomic.Uint64
	last   lastFailure
}

// Fail counts n failed deliveries for one reason.
func (f *Failures) Fail(reason Failure, n int, at time.Time) {
	f.counts[reason].Add(uint64(n))
	f.last.store(at, reason)
}

// each calls fn with every reason and its count.
func (f *Failures) each(fn func(label string, n uint64)) {
	for i := range f.counts {
		fn(Failure(i).String(), f.counts[i].Load())
	}
}
