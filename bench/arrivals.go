// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"sync/atomic"
	"time"
)

// Arrivals counts deliveries and says when the last is in. Any goroutine may add.
type arrivals struct {
	want int64
	done chan struct{} // closed when got is want

	delays []time.Duration // of each delivery; nil: not kept
	next   atomic.Int64    // index in delays
	got    atomic.Int64
	last   time.Duration // when done was closed
}

func newArrivals(want int) *arrivals {
	return &arrivals{want: int64(want), done: make(chan struct{})}
}

// keepDelays has the time from stamp to arrival kept.
func (a *arrivals) keepDelays() *arrivals {
	a.delays = make([]time.Duration, a.want)
	return a
}

var errTooMany = errors.New("more deliveries arrived than were published")

func (a *arrivals) add(s stamp, at time.Duration) error {
	i := a.next.Add(1) - 1
	if i >= a.want {
		return errTooMany
	}
	if a.delays != nil {
		a.delays[i] = at - s.sent
	}
	if a.got.Add(1) == a.want { // so every delay is written
		a.last = at
		close(a.done)
	}
	return nil
}
