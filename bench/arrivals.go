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

// Arrivals counts deliveries and says when the last is in. Any goroutine may add.
type arrivals struct {
	want   atomic.Int64
	got    atomic.Int64
	last   atomic.Int64 // time of the latest delivery
	delays *histogram   // from stamp to arrival; nil: not kept

	once sync.Once
	done chan struct{} // closed when got is want
}

func newArrivals(want int) *arrivals {
	a := &arrivals{done: make(chan struct{})}
	a.want.Store(int64(want))
	return a
}

// newOpenArrivals returns arrivals of which seal will say how many are wanted,
// with their delays kept.
func newOpenArrivals() *arrivals { return newArrivals(math.MaxInt).keepDelays() }

// keepDelays has the time from stamp to arrival kept.
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

// seal says how many deliveries there are to be.
func (a *arrivals) seal(want int) error {
	a.want.Store(int64(want))
	return a.check(a.got.Load()) // add counts first and then looks: one of the two sees the other
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

// lastAt returns when the latest delivery arrived.
func (a *arrivals) lastAt() time.Duration { return time.Duration(a.last.Load()) }
