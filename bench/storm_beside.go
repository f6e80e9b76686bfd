// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"time"
)

// StormBesideConfig configures [StormBeside].
type StormBesideConfig struct {
	Connections int           // that receive, each of another gateway
	Rate        int           // events per second, each to the next gateway
	EventBytes  int           // of one event, as published
	Quiet       time.Duration // duration of the measurement without a storm
	Storm       int           // connections of the storm, each of another gateway
	Dialers     int           // connections of the storm made at the same time
	// Process is the command of a process that calls [ServeStorm]; Environ is added to its
	// environment.
	Process, Environ []string
}

// besidePublishers is enough to keep the rate although each publish takes long. So an event's delay
// does not include that of the events before it.
const besidePublishers = 32

// StormBeside publishes at a constant rate to connected gateways, first without other load and then
// while many others connect. It measures how the storm affects the connected gateways.
func StormBeside(ctx context.Context, t Target, c StormBesideConfig) (Result, error) {
	r := Result{Workload: "storm-beside", Transport: t.Transport(), Connections: c.Connections + c.Storm}
	if c.Connections < 1 || c.Rate < 1 || c.Quiet <= 0 || c.Storm < 1 || c.Dialers < 1 {
		return r, errNoSize
	}
	if err := CheckDescriptors(max(c.Connections, c.Storm)); err != nil {
		return r, err
	}
	l, err := prepare(ctx, t, r.Connections)
	if err != nil {
		return r, err
	}
	defer l.close()
	stormers := l.gateways[c.Connections:]
	l.gateways = l.gateways[:c.Connections]
	if err := l.connect(ctx, c.Connections, defaultDialers); err != nil {
		return r, err
	}
	s, err := newSteady(ctx, l, besidePublishers, c.Rate, c.EventBytes)
	if err != nil {
		return r, err
	}
	defer s.close()
	storm, err := startStorm(ctx, c.Process, c.Environ)
	if err != nil {
		return r, err
	}
	quiet, err := s.during(ctx, l.fleet, func(ctx context.Context) error { return sleep(ctx, c.Quiet) })
	if err != nil {
		return r, errors.Join(err, storm.end())
	}
	var took time.Duration
	stormy, err := s.during(ctx, l.fleet, func(context.Context) (err error) {
		took, err = storm.connect(t, stormers, c.Dialers)
		return err
	})
	if err := errors.Join(err, storm.end()); err != nil {
		return r, err
	}
	r.addLatency("quiet-", quiet)
	r.addLatency("storm-", stormy)
	r.add("connects", "connects/s", float64(c.Storm)/took.Seconds())
	return r, nil
}

// during publishes while do runs, and returns the delays from publish to arrival.
func (s *steady) during(ctx context.Context, f *fleet, do func(context.Context) error) (*histogram, error) {
	a := newOpenArrivals()
	f.expect(a)
	doing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() {
		err := do(doing)
		cancel(err)
		done <- err
	}()
	n, err := s.until(doing, nil)
	cancel(err) // publishing failed before do ended
	if failed := <-done; err == nil {
		err = failed
	}
	if err == nil {
		err = a.seal(n)
	}
	if err != nil {
		return nil, err
	}
	return a.delays, f.wait(ctx, a)
}

// sleep waits for d or until the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-over.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
