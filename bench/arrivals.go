// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// An arrivals counts deliveries and closes done after the last one. Goroutines can share it.
type arrivals struct {
	want   atomic.Int64
	got    atomic.Int64
	last   atomic.Int64 // time of the newest delivery
	delays *histogram   // from publish to arrival; nil: not recorded

	once sync.Once
	done chan struct{} // closed when got equals want
}

func newArrivals(want int) *arrivals {
	a := &arrivals{done: make(chan struct{})}
	a.want.Store(int64(want))
	return a
}

// newOpenArrivals returns arrivals that record delays. seal sets how many deliveries are wanted.
func newOpenArrivals() *arrivals { return newArrivals(math.MaxInt).keepDelays() }

// keepDelays records the time from publish to arrival of each delivery.
func (a *arrivals) keepDelays() *arrivals {
	a.delays = new(histogram)
	return a
}

var errTooMany = errors.New("more deliveries arrived than were published")

func (a *arrivals) add(s stamp, at time.Duration) error {
	if a.delays != nil {
		a.delays.add(at - s.sent)
	}
	raise(&a.last, int64(at))
	return a.check(a.got.Add(1))
}

// seal sets the number of deliveries to wait for.
func (a *arrivals) seal(want int) error {
	a.want.Store(int64(want))
	return a.check(a.got.Load()) // add counts before it checks, so either add or seal sees the last delivery
}

func (a *arrivals) check(got int64) error {
	switch want := a.want.Load(); {
	case got > want:
		return fmt.Errorf("%w: %d of %d", errTooMany, got, want)
	case got == want:
		a.once.Do(func() { close(a.done) })
	}
	return nil
}

// lastAt returns when the newest delivery arrived.
func (a *arrivals) lastAt() time.Duration { return time.Duration(a.last.Load()) }
