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
	Connections int           // that receive, each of a gateway of its own
	Rate        int           // events a second, each to one of them by turns
	EventBytes  int           // of an event as it is published
	Part        time.Duration // of quiet, and of the trouble
	Rounds      int           // of both; the figures are medians of them
	// Trouble is what the server has besides. It ends with its context, and is
	// better done by a process of its own.
	Trouble func(ctx context.Context) error
}

// Bystanders publishes at a steady rate to connections that are there, in quiet and
// in trouble by turns: what those who have nothing to do with it notice of it. They
// must lose nothing, and nobody of them the connection.
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
	quiet := bystanding{name: "quiet-", do: idling}
	troubled := bystanding{name: "trouble-", do: c.Trouble}
	for range c.Rounds {
		if err := errors.Join(quiet.part(ctx, t, s, l.fleet, c.Part), troubled.part(ctx, t, s, l.fleet, c.Part)); err != nil {
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

// bystanding is what was measured in all parts of one kind.
type bystanding struct {
	name     string
	do       func(context.Context) error
	p50, p99 []time.Duration
	cpu      []float64 // of the server, in processors
}

// part measures one part.
func (b *bystanding) part(ctx context.Context, t Target, s *steady, f *fleet, long time.Duration) error {
	m, err := startMeter(t)
	if err != nil {
		return err
	}
	delays, err := s.during(ctx, f, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, long)
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

func (b *bystanding) addTo(r *Result) {
	r.addMillis(b.name+"p50", median(b.p50))
	r.addMillis(b.name+"p99", median(b.p99))
	r.add(b.name+"cpu", "processors", median(b.cpu))
}

func median[T float64 | time.Duration](values []T) T {
	return quantile(slices.Sorted(slices.Values(values)), 0.5)
}
