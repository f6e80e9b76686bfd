// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// LoadConfig configures [Load].
type LoadConfig struct {
	Connections int
	Gateways    int           // gateways of the connections, in turn; at most Connections
	Rate        int           // events per second
	For         time.Duration // how long to publish
	EventBytes  int           // of one event, as published
	All         bool          // each event is for all of the gateways; otherwise for one, in turn
	Publishers  int           // connections to publish on; at most one per gateway, and one if All, to keep the order of events
	Dialers     int           // connections made at the same time

	// Paced is called once if the server limits connection attempts, with an estimate of the time
	// that the remaining connections take. Nil: not called.
	Paced func(rest time.Duration)
}

// Load generates a constant load on a node that others can use at the same time, on this machine or
// another. It registers gateways with names that begin with "bench-", publishes only to them, and
// removes them at the end. If ctx ends, Load stops publishing early and reports what it published.
//
// The error reports lost, duplicated and misrouted deliveries; the result counts them.
func Load(ctx context.Context, t Target, c LoadConfig) (r Result, err error) {
	r = Result{Workload: "load", Transport: t.Transport(), Connections: c.Connections}
	if c.Connections < 1 || c.Gateways < 1 || c.Rate < 1 || c.For <= 0 || c.Publishers < 1 || c.Dialers < 1 {
		return r, errNoSize
	}
	if c.Gateways > c.Connections {
		return r, fmt.Errorf("%d connections are too few for %d gateways: want at most as many gateways as connections", c.Connections, c.Gateways)
	}
	kind := gatewayKind{run: rand.Text()[:8]}
	if c.All {
		kind.group = "bench-" + kind.run
		c.Publishers = 1 // several publishers would not keep the order of events
	}
	x := &sustained{load: newLoad(t), c: c, group: kind.group}
	x.fleet.lenient = true
	defer func() { err = errors.Join(err, x.cleanUp(ctx)) }()
	took, err := x.connectAll(ctx, kind)
	if err != nil {
		return r, err
	}
	r.add("connected", "s", took.Seconds())
	r.add("connects", "connects/s", float64(c.Connections)/took.Seconds())
	err = x.run(ctx, &r)
	return r, err
}

// A sustained is a run of [Load].
type sustained struct {
	*load
	c     LoadConfig
	group string // group that each event is for; empty: each event is for one gateway
}

// firstBatch is the number of connections in the first batch.
const firstBatch = 16

// connectAll registers the gateways and connects as them, and returns how long connecting took.
// Each batch doubles the number of connections: a server that accepts fewer connections refuses
// early, before it has many gateways to remove.
func (x *sustained) connectAll(ctx context.Context, kind gatewayKind) (took time.Duration, err error) {
	if err := CheckDescriptors(x.c.Connections); err != nil {
		return 0, err
	}
	pace := &pacer{notice: x.c.Paced}
	pace.left.Store(int64(x.c.Connections))
	x.fleet.peers = make([]*peer, x.c.Connections)
	for from := 0; from < x.c.Connections; {
		to := min(max(firstBatch, 2*from), x.c.Connections)
		if err := x.registerUpTo(ctx, min(to, x.c.Gateways), kind); err != nil {
			return took, err
		}
		start := now()
		err := inParallel(ctx, to-from, x.c.Dialers, func(ctx context.Context, i int) error {
			p, err := pace.dial(ctx, x.Target, &x.gateways[(from+i)%x.c.Gateways], x.c.Connections)
			if err == nil {
				x.fleet.add(from+i, p)
			}
			return err
		})
		if err != nil {
			return took, fmt.Errorf("cannot make %s: %w", plural(x.c.Connections, "connection"), err)
		}
		took += now() - start
		from = to
	}
	return took, nil
}

// registerUpTo registers gateways until there are n. On an error x.gateways contains all gateways
// that may be registered.
func (x *sustained) registerUpTo(ctx context.Context, n int, kind gatewayKind) error {
	have := len(x.gateways)
	more, err := x.admin.registerAll(ctx, have, n-have, kind)
	x.gateways = append(x.gateways, more...)
	if err != nil {
		return fmt.Errorf("cannot register %s: %w", plural(x.c.Gateways, "gateway"), err)
	}
	return nil
}

// cleanUp closes the connections and removes the gateways, also if ctx has ended.
func (x *sustained) cleanUp(ctx context.Context) error {
	x.fleet.close()
	defer x.admin.close()
	return x.admin.removeAll(context.WithoutCancel(ctx), x.gateways)
}

func (x *sustained) run(ctx context.Context, r *Result) error {
	s, err := newSteady(ctx, x.load, x.c.Publishers, x.c.Rate, x.c.EventBytes)
	if err != nil {
		return err
	}
	defer s.close()
	if x.group != "" {
		s.to = func(*gateway) audience { return toGroup(x.group) }
	}
	a := newOpenArrivals()
	x.fleet.expect(a)
	m, err := startMeter(x.Target)
	if err != nil {
		return err
	}
	over, cancel := context.WithTimeout(ctx, x.c.For)
	defer cancel()
	var expected atomic.Int64
	published, err := s.until(over, func(g *gateway) { expected.Add(int64(x.deliveries(g))) })
	answered := now()
	if err != nil {
		return err
	}
	if err := a.seal(int(expected.Load())); err != nil {
		return err
	}
	x.settle(a)
	r.add("published", "events", float64(published))
	r.add("answered", "events/s", rate(int64(published), answered-m.start))
	r.add("received", "deliveries/s", rate(a.got.Load(), a.lastAt()-m.start))
	x.addArrivals(r, a)
	return errors.Join(m.addTo(r, "delivery", max(int(a.got.Load()), 1)), x.verdict(a))
}

// deliveries returns the number of deliveries of an event in the turn of g.
func (x *sustained) deliveries(g *gateway) int {
	if x.group != "" {
		return x.c.Connections
	}
	n := x.c.Connections / x.c.Gateways
	if int(g.number) <= x.c.Connections%x.c.Gateways {
		n++
	}
	return n
}

// lossTimeout is how long nothing may arrive before missing deliveries count as lost.
const lossTimeout = 5 * time.Second

// settle waits until all deliveries have arrived, or none for lossTimeout.
func (x *sustained) settle(a *arrivals) {
	look := time.NewTicker(lossTimeout)
	defer look.Stop()
	for before := int64(-1); a.got.Load() != before; {
		before = a.got.Load()
		select {
		case <-a.done:
			return
		case <-look.C:
		}
	}
}

func (x *sustained) addArrivals(r *Result, a *arrivals) {
	got := a.got.Load()
	r.add("delivered", "deliveries", float64(got))
	r.add("lost", "deliveries", float64(a.want.Load()-got))
	r.add("duplicates", "deliveries", float64(x.fleet.unexpected.Load()))
	r.add("disconnected", "connections", float64(x.fleet.ended.Load()))
	r.addMillis("p50", a.delays.quantile(0.5))
	r.addMillis("p90", a.delays.quantile(0.9))
	r.addMillis("p99", a.delays.quantile(0.99))
	r.addMillis("p99.9", a.delays.quantile(0.999))
	r.addMillis("max", a.delays.max())
}

// rate returns n per second.
func rate(n int64, took time.Duration) float64 {
	if n == 0 {
		return 0
	}
	return float64(n) / took.Seconds()
}

// verdict returns an error for each kind of failed delivery.
func (x *sustained) verdict(a *arrivals) error {
	var list []error
	if lost := a.want.Load() - a.got.Load(); lost > 0 {
		list = append(list, fmt.Errorf("%d of %d deliveries were lost", lost, a.want.Load()))
	}
	if n := x.fleet.unexpected.Load(); n > 0 {
		list = append(list, fmt.Errorf("%d events were duplicated, out of order, or for another gateway", n))
	}
	if n := x.fleet.ended.Load(); n > 0 {
		list = append(list, fmt.Errorf("%s ended early, the first one with: %w", plural(int(n), "connection"), <-x.fleet.failed))
	}
	return errors.Join(list...)
}
