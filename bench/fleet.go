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

	// A lenient fleet counts what should not have come and goes on.
	lenient bool
	acks    bool         // its peers ack what they receive
	misfits atomic.Int64 // events that came again, late, or to the wrong gateway
	ended   atomic.Int64 // connections that ended before close
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
		p, err := dialPeer(ctx, t, &gateways[i%len(gateways)])
		if err == nil {
			f.add(i, p)
		}
		return err
	})
}

// add makes a connection one of the fleet's, and starts it.
func (f *fleet) add(i int, p *peer) {
	if f.lenient {
		p.misfit = f.tolerate
	}
	p.acks = f.acks
	f.peers[i] = p
	f.running.Go(func() { f.run(p) })
}

func (f *fleet) run(p *peer) {
	err := p.run(f.arrived)
	p.hangUp()
	if !f.closing.Load() {
		f.ended.Add(1)
		f.fail(fmt.Errorf("connection %v: %w", p.tcp.LocalAddr(), err))
	}
}

// wire returns how many bytes have come in from the sockets of all.
func (f *fleet) wire() (bytes uint64, err error) {
	for _, p := range f.peers {
		n, err := p.wire()
		if err != nil {
			return 0, err
		}
		bytes += n
	}
	return bytes, nil
}

// tolerate counts a misfit, but for an event that somebody else published.
func (f *fleet) tolerate(err error) error {
	if !errors.Is(err, errForeign) {
		f.misfits.Add(1)
	}
	return nil
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
		return fmt.Errorf("%d of %d deliveries have arrived: %w", a.got.Load(), a.want.Load(), ctx.Err())
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
