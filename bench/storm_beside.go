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
	Connections int           // that receive, each of a gateway of its own
	Rate        int           // events a second, each to one of them by turns
	EventBytes  int           // of an event as it is published
	Quiet       time.Duration // how long the rate is kept without a storm
	Storm       int           // connections of the storm, each of a gateway of its own
	Dialers     int           // of the storm's connections made at once
	// Process is the command of a process that calls [ServeStorm], and what its
	// environment has besides this one's.
	Process, Environ []string
}

// besidePublishers are enough for the rate to be kept though each publish takes
// long: the time that is measured is an event's, and not that of those before it.
const besidePublishers = 32

// StormBeside publishes at a steady rate to connections that are there, first in
// quiet and then while a storm of others connects: what those who stayed notice
// of those who come back.
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
		took, err = storm.rage(t, stormers, c.Dialers)
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

// during publishes while do is under way and returns the delays, from publish to
// arrival.
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
	cancel(err) // when it failed ahead of do
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

// sleep lets time pass, or ends with the context.
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
