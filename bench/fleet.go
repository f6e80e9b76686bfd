// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A fleet is the connections of a load.
type fleet struct {
	peers   []*peer // written by dial only
	sink    atomic.Pointer[arrivals]
	failed  chan error // has the first failure of a peer
	closing atomic.Bool
	running sync.WaitGroup
}

func newFleet() *fleet { return &fleet{failed: make(chan error, 1)} }

// defaultDialers is how many connections are made at once where that is not what
// is measured.
const defaultDialers = 32

// dial makes n connections, by turns as each of gateways, some at once. It
// returns when each has its ack, or at the first that gets none.
func (f *fleet) dial(ctx context.Context, t Target, gateways []gateway, n, atOnce int) error {
	f.peers = make([]*peer, n)
	return inParallel(ctx, n, atOnce, func(ctx context.Context, i int) error {
		p, err := dialPeer(ctx, t, gateways[i%len(gateways)].Token)
		if err != nil {
			return err
		}
		f.peers[i] = p
		f.running.Go(func() { f.run(p) })
		return nil
	})
}

func (f *fleet) run(p *peer) {
	err := p.run(f.arrived)
	p.hangUp()
	if !f.closing.Load() {
		f.fail(fmt.Errorf("connection %v: %w", p.tcp.LocalAddr(), err))
	}
}

func (f *fleet) fail(err error) {
	select {
	case f.failed <- err:
	default:
	}
}

func (f *fleet) arrived(s stamp) error {
	at := now()
	a := f.sink.Load()
	if a == nil {
		return fmt.Errorf("event %d came though nothing more was to come", s.n)
	}
	return a.add(s, at)
}

// expect has arrivals counted by a from now on.
func (f *fleet) expect(a *arrivals) { f.sink.Store(a) }

// arrivalTimeout bounds the wait for what is published.
const arrivalTimeout = time.Minute

// wait waits for everything that a expects.
func (f *fleet) wait(ctx context.Context, a *arrivals) error {
	ctx, cancel := context.WithTimeout(ctx, arrivalTimeout)
	defer cancel()
	select {
	case <-a.done:
		return nil
	case err := <-f.failed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%d of %d deliveries have arrived: %w", a.got.Load(), a.want, ctx.Err())
	}
}

// healthy reports whether every connection made is still there.
func (f *fleet) healthy() error {
	select {
	case err := <-f.failed:
		return err
	default:
		return nil
	}
}

// close hangs up everywhere and waits for the goroutines.
func (f *fleet) close() {
	f.closing.Store(true)
	for _, p := range f.peers {
		if p != nil {
			p.hangUp()
		}
	}
	f.running.Wait()
}

// Arrivals counts deliveries and says when the last is in.
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

// inParallel calls do with 0 to n-1, atOnce at a time, until one fails.
func inParallel(ctx context.Context, n, atOnce int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, atOnce) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}
