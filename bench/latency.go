// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import "context"

// LatencyConfig configures [Latency].
type LatencyConfig struct {
	Idle       int // idle connections in addition to the receiving one
	Rate       int // events per second
	Events     int
	EventBytes int // of one event, as published
}

// Latency publishes events at a constant rate to one connection, while others are idle, and
// measures the time from publish to arrival.
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
	if err := publishSteadily(ctx, p, l.gateways[0].audience(), c); err != nil {
		return r, err
	}
	if err := l.fleet.wait(ctx, a); err != nil {
		return r, err
	}
	if err := m.addTo(&r, "event", c.Events); err != nil {
		return r, err
	}
	r.addLatency("", a.delays)
	return r, nil
}

// publishSteadily publishes at the rate of the config.
func publishSteadily(ctx context.Context, p *publisher, to audience, c LatencyConfig) error {
	pace := newPace(now(), perSecond(c.Rate))
	defer pace.stop()
	for i := range c.Events {
		sent, err := pace.next(ctx)
		if err != nil {
			return err
		}
		if err := p.publish(to, stamp{n: int64(i) + 1, sent: sent}, c.EventBytes); err != nil {
			return err
		}
	}
	return nil
}
