// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A lastFailure is when and why a delivery last failed. Any goroutine can store and
// load it.
type lastFailure struct {
	v atomic.Pointer[failureAt]
}

// A failureAt is one failed delivery. It is immutable.
type failureAt struct {
	at     time.Time
	reason event.FailureReason
}

func (l *lastFailure) store(at time.Time, reason event.FailureReason) {
	l.v.Store(&failureAt{at, reason})
}

func (l *lastFailure) load() (at time.Time, reason event.FailureReason, ok bool) {
	f := l.v.Load()
	if f == nil {
		return time.Time{}, 0, false
	}
	return f.at, f.reason, true
}

// Failures counts failed deliveries of no shard: to gateways that were not connected,
// and events that gateways rejected. Any goroutine can use it. The zero Failures has
// counted none.
type Failures struct {
	counts [event.NumFailureReasons]atomic.Uint64
	last   lastFailure
}

// Fail counts n failed deliveries with a reason, at a time.
func (f *Failures) Fail(reason event.FailureReason, n int, at time.Time) {
	f.counts[reason].Add(uint64(n))
	f.last.store(at, reason)
}

// Each calls fn with every reason and its count.
func (f *Failures) Each(fn func(label string, n uint64)) {
	for i := range f.counts {
		fn(event.FailureReason(i).String(), f.counts[i].Load())
	}
}
