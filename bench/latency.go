// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"slices"
	"time"
)

// LatencyConfig configures [Latency].
type LatencyConfig struct {
	Idle       int // connections beside the one that receives
	Rate       int // events a second
	Events     int
	EventBytes int // of an event as it is published
}

// Latency publishes events at a steady rate to one connection, with others idle
// beside it, and measures the time from publish to arrival.
func Latency(ctx context.Context, t Target, c LatencyConfig) (Result, error) {
	r := Result{Workload: "latency", Transport: t.Transport(), Connections: c.Idle + 1}
	if c.Idle < 0 || c.Events < 1 || c.Rate < 1 {
		return r, errNoSize
	}
	l, err := prepareConnected(ctx, t, c.Idle+1, c.Idle+1)
	if err != nil {
		return r, err
	}
	defer l.close()
	p, err := dialPublisher(ctx, t)
	if err != nil {
		return r, err
	}
	defer p.close()
	a := newArrivals(c.Events).keepDelays()
	l.fleet.expect(a)
	m, err := startMeter(t)
	if err != nil {
		return r, err
	}
	if err := publishSteadily(ctx, p, toGateway(l.gateways[0].ID), c); err != nil {
		return r, err
	}
	if err := l.fleet.wait(ctx, a); err != nil {
		return r, err
	}
	if err := m.addTo(&r, "event", c.Events); err != nil {
		return r, err
	}
	slices.Sort(a.delays)
	r.addMillis("p50", quantile(a.delays, 0.5))
	r.addMillis("p99", quantile(a.delays, 0.99))
	r.addMillis("max", a.delays[len(a.delays)-1])
	return r, nil
}

// publishSteadily publishes at the config's rate.
func publishSteadily(ctx context.Context, p *publisher, target string, c LatencyConfig) error {
	start := now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range c.Events {
		due := start + time.Duration(i)*time.Second/time.Duration(c.Rate)
		sent := due // if its turn passed while the last one was answered: then it has waited since
		if ahead := due - now(); ahead > 0 {
			timer.Reset(ahead)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return ctx.Err()
			}
			sent = now() // the timer's own lateness is not the server's
		}
		if err := p.publish(target, stamp{int64(i) + 1, sent}, c.EventBytes); err != nil {
			return err
		}
	}
	return nil
}
