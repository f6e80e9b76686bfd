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
	failed  chan error // holds the first error of a peer
	closing atomic.Bool
	running sync.WaitGroup

	// A lenient fleet counts unexpected events and continues.
	lenient    bool
	acks       bool         // its peers ack what they receive
	unexpected atomic.Int64 // events that were duplicated, out of order, or for another gateway
	ended      atomic.Int64 // connections that ended before close
}

func newFleet() *fleet { return &fleet{failed: make(chan error, 1)} }

// defaultDialers is the number of connections made at the same time, in workloads that do not
// measure it.
const defaultDialers = 32

// dial opens n connections, atOnce at a time, for the gateways in turn. It returns after the last
// ack, or after the first connection without one.
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

// add adds a connection to the fleet and starts to read it.
func (f *fleet) add(i int, p *peer) {
	if f.lenient {
		p.unexpected = f.tolerate
	}
	p.acks = f.acks
	f.peers[i] = p
	f.running.Go(func() { f.run(p) })
}

func (f *fleet) run(p *peer) {
	err := p.run(f.arrived)
	p.reset()
	if !f.closing.Load() {
		f.ended.Add(1)
		f.fail(fmt.Errorf("connection %v: %w", p.tcp.LocalAddr(), err))
	}
}

// wire returns the bytes received from all sockets.
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

// tolerate counts an unexpected event, unless somebody else published it.
func (f *fleet) tolerate(err error) error {
	if !errors.Is(err, errForeign) {
		f.unexpected.Add(1)
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
		return fmt.Errorf("event %d arrived, but no event was expected", s.n)
	}
	return a.add(s, at)
}

// expect counts arrivals in a from now on.
func (f *fleet) expect(a *arrivals) { f.sink.Store(a) }

// arrivalTimeout bounds the wait for published events.
const arrivalTimeout = time.Minute

// wait waits until all deliveries that a expects have arrived.
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

// healthy returns the first error of a connection, or nil if all of them are open.
func (f *fleet) healthy() error {
	select {
	case err := <-f.failed:
		return err
	default:
		return nil
	}
}

// close resets all connections and waits for their goroutines.
func (f *fleet) close() {
	f.closing.Store(true)
	for _, p := range f.peers {
		if p != nil {
			p.reset()
		}
	}
	f.running.Wait()
}
