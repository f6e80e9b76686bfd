// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"slices"
	"time"
)

// BystandersConfig configures [Bystanders].
type BystandersConfig struct {
	Connections int           // that receive, each of another gateway
	Rate        int           // events per second, each to the next gateway
	EventBytes  int           // of one event, as published
	Part        time.Duration // duration of each quiet and each trouble interval
	Rounds      int           // pairs of intervals; the figures are medians over them
	// Trouble runs during the trouble intervals, until its context ends. It should use another
	// process, so that its CPU time does not delay the measurement.
	Trouble func(ctx context.Context) error
}

// Bystanders publishes at a constant rate to connected gateways, in alternating quiet and trouble
// intervals. It measures how the trouble affects the gateways that do not cause it. None of them
// may lose an event or its connection.
func Bystanders(ctx context.Context, t Target, c BystandersConfig) (Result, error) {
	r := Result{Workload: "bystanders", Transport: t.Transport(), Connections: c.Connections}
	if c.Connections < 1 || c.Rate < 1 || c.Part <= 0 || c.Rounds < 1 {
		return r, errNoSize
	}
	l, err := prepareConnected(ctx, t, c.Connections, c.Connections)
	if err != nil {
		return r, err
	}
	defer l.close()
	s, err := newSteady(ctx, l, besidePublishers, c.Rate, c.EventBytes)
	if err != nil {
		return r, err
	}
	defer s.close()
	quiet := intervals{name: "quiet-", do: idling}
	troubled := intervals{name: "trouble-", do: c.Trouble}
	for range c.Rounds {
		if err := errors.Join(quiet.run(ctx, t, s, l.fleet, c.Part), troubled.run(ctx, t, s, l.fleet, c.Part)); err != nil {
			return r, err
		}
	}
	quiet.addTo(&r)
	troubled.addTo(&r)
	return r, l.fleet.healthy()
}

func idling(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// intervals are the measurements of all intervals of one kind.
type intervals struct {
	name     string
	do       func(context.Context) error
	p50, p99 []time.Duration
	cpu      []float64 // of the server, in busy processors
}

// run measures one interval.
func (b *intervals) run(ctx context.Context, t Target, s *steady, f *fleet, length time.Duration) error {
	m, err := startMeter(t)
	if err != nil {
		return err
	}
	delays, err := s.during(ctx, f, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, length)
		defer cancel()
		return b.do(ctx)
	})
	if err != nil {
		return err
	}
	server, _, err := m.read()
	if err != nil {
		return err
	}
	b.p50 = append(b.p50, delays.quantile(0.5))
	b.p99 = append(b.p99, delays.quantile(0.99))
	b.cpu = append(b.cpu, (server-m.server0).Seconds()/(now()-m.start).Seconds())
	return nil
}

func (b *intervals) addTo(r *Result) {
	r.addMillis(b.name+"p50", median(b.p50))
	r.addMillis(b.name+"p99", median(b.p99))
	r.add(b.name+"cpu", "processors", median(b.cpu))
}

func median[T float64 | time.Duration](values []T) T {
	return quantile(slices.Sorted(slices.Values(values)), 0.5)
}
