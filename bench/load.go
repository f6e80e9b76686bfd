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
	Gateways    int           // that the connections are of, by turns; at most as many
	Rate        int           // events a second
	For         time.Duration // how long events are published
	EventBytes  int           // of an event as it is published
	All         bool          // each event is for all of the gateways; else for one, by turns
	Publishers  int           // connections that events are published on; one, and one a gateway, at most, where more would lose the order
	Dialers     int           // connections made at once

	// Paced is called once if the server limits attempts to connect, with about how long
	// the connections that are left take; nil: nobody wants to know.
	Paced func(rest time.Duration)
}

// Load puts a steady load on a gatecast that others may use meanwhile, here or
// elsewhere: its events reach its own gateways only, which it registers under
// names that begin with "bench-" and removes at its end. The end of ctx ends the
// publishing early, and the figures are of what was published.
//
// What went wrong with deliveries is an error, and the result has how many it
// was.
func Load(ctx context.Context, t Target, c LoadConfig) (r Result, err error) {
	r = Result{Workload: "load", Transport: t.Transport(), Connections: c.Connections}
	if c.Connections < 1 || c.Gateways < 1 || c.Rate < 1 || c.For <= 0 || c.Publishers < 1 || c.Dialers < 1 {
		return r, errNoSize
	}
	if c.Gateways > c.Connections {
		return r, fmt.Errorf("%d connections of %d gateways leave some without; want at most as many gateways", c.Connections, c.Gateways)
	}
	kind := gatewayKind{run: rand.Text()[:8]}
	if c.All {
		kind.group = "bench-" + kind.run
		c.Publishers = 1 // or there would be no order
	}
	x := &sustained{load: newLoad(t), c: c, group: kind.group}
	x.fleet.lenient = true
	defer func() { err = errors.Join(err, x.cleanUp(ctx)) }()
	took, err := x.gather(ctx, kind)
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
	group string // that every event is for; empty: each is for one gateway
}

// firstBatch is how many connections a load begins with.
const firstBatch = 16

// gather registers the gateways and connects as them, and returns how long connecting
// took. It goes in batches, each as large as those before it together: a server that
// does not take so many connections says so before it has many gateways to remove.
func (x *sustained) gather(ctx context.Context, kind gatewayKind) (took time.Duration, err error) {
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
			return took, fmt.Errorf("make %s: %w", plural(x.c.Connections, "connection"), err)
		}
		took += now() - start
		from = to
	}
	return took, nil
}

// registerUpTo registers gateways until there are n. Those that it has begun with are
// in x.gateways also when it fails.
func (x *sustained) registerUpTo(ctx context.Context, n int, kind gatewayKind) error {
	have := len(x.gateways)
	more, err := x.admin.registerAll(ctx, have, n-have, kind)
	x.gateways = append(x.gateways, more...)
	if err != nil {
		return fmt.Errorf("register %s: %w", plural(x.c.Gateways, "gateway"), err)
	}
	return nil
}

// cleanUp hangs up and removes the gateways, whatever has ended ctx.
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

// deliveries returns how many an event makes when it is g's turn.
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

// patience is how long nothing more must have arrived for what is missing to
// count as lost.
const patience = 5 * time.Second

// settle waits until everything has arrived, or nothing more does.
func (x *sustained) settle(a *arrivals) {
	look := time.NewTicker(patience)
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
	r.add("duplicates", "deliveries", float64(x.fleet.misfits.Load()))
	r.add("disconnected", "connections", float64(x.fleet.ended.Load()))
	r.addMillis("p50", a.delays.quantile(0.5))
	r.addMillis("p90", a.delays.quantile(0.9))
	r.addMillis("p99", a.delays.quantile(0.99))
	r.addMillis("p99.9", a.delays.quantile(0.999))
	r.addMillis("max", a.delays.max())
}

// rate returns how many of n things a second were done in a time.
func rate(n int64, took time.Duration) float64 {
	if n == 0 {
		return 0
	}
	return float64(n) / took.Seconds()
}

// verdict says what went wrong with the deliveries.
func (x *sustained) verdict(a *arrivals) error {
	var list []error
	if lost := a.want.Load() - a.got.Load(); lost > 0 {
		list = append(list, fmt.Errorf("%d of %d deliveries were lost", lost, a.want.Load()))
	}
	if n := x.fleet.misfits.Load(); n > 0 {
		list = append(list, fmt.Errorf("%d events came again, out of order, or to the wrong gateway", n))
	}
	if n := x.fleet.ended.Load(); n > 0 {
		list = append(list, fmt.Errorf("%s ended early, the first as %w", plural(int(n), "connection"), <-x.fleet.failed))
	}
	return errors.Join(list...)
}
