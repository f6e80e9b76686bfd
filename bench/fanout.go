// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"slices"
	"time"
)

// FanOutConfig configures [FanOut].
type FanOutConfig struct {
	Connections int
	OneGateway  bool // all connections belong to one gateway; otherwise each to another, and events are for all
	Events      int
	EventBytes  int // of one event, as published
}

// warmUp is the number of events published before the measurement.
const warmUp = 2

// FanOut publishes events one after the other to every connection. The next event follows after the
// last delivery of the one before. It measures the time from a publish to its last delivery, and
// the bytes received from the sockets.
func FanOut(ctx context.Context, t Target, c FanOutConfig) (Result, error) {
	r := Result{Workload: "fan-out/all", Transport: t.Transport(), Connections: c.Connections}
	gateways := c.Connections
	if c.OneGateway {
		r.Workload, gateways = "fan-out/one-gateway", 1
	}
	if c.Connections < 1 || c.Events < 1 {
		return r, errNoSize
	}
	l, err := prepareConnected(ctx, t, gateways, c.Connections)
	if err != nil {
		return r, err
	}
	defer l.close()
	to := toAll
	if c.OneGateway {
		to = l.gateways[0].audience()
	}
	p, err := dialPublisher(ctx, t)
	if err != nil {
		return r, err
	}
	defer p.close()
	f := fanOut{l, p, to, c.EventBytes, 0}
	err = f.run(ctx, &r, c)
	return r, err
}

// A fanOut is a run of [FanOut] after all connections are made.
type fanOut struct {
	*load
	publisher  *publisher
	to         audience
	eventBytes int
	n          int64 // number of the last event
}

func (f *fanOut) run(ctx context.Context, r *Result, c FanOutConfig) error {
	for range warmUp {
		if _, err := f.one(ctx); err != nil {
			return err
		}
	}
	before, err := f.fleet.wire()
	if err != nil {
		return err
	}
	m, err := startMeter(f.Target)
	if err != nil {
		return err
	}
	times := make([]time.Duration, c.Events)
	for i := range times {
		if times[i], err = f.one(ctx); err != nil {
			return err
		}
	}
	if err := m.addTo(r, "delivery", c.Events*c.Connections); err != nil {
		return err
	}
	after, err := f.fleet.wire()
	if err != nil {
		return err
	}
	r.add("wire", "B/delivery", float64(after-before)/float64(c.Events*c.Connections))
	slices.Sort(times)
	r.addMillis("last-p50", quantile(times, 0.5))
	r.addMillis("last-max", times[len(times)-1])
	return nil
}

// one publishes an event and returns the time until its last delivery.
func (f *fanOut) one(ctx context.Context) (time.Duration, error) {
	f.n++
	a := newArrivals(len(f.fleet.peers))
	f.fleet.expect(a)
	s := stamp{n: f.n, sent: now()}
	if err := f.publisher.publish(f.to, s, f.eventBytes); err != nil {
		return 0, err
	}
	if err := f.fleet.wait(ctx, a); err != nil {
		return 0, err
	}
	return a.lastAt() - s.sent, nil
}
