// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"slices"
	"time"
)

// BurstConfig configures [Burst].
type BurstConfig struct {
	Connections int // each of a gateway of its own
	Events      int // of a burst
	EventBytes  int // of an event as it is published
	Bursts      int
}

// Burst publishes several events to all at once, which a server may write to
// each connection together. A burst follows when the last one has arrived
// everywhere.
func Burst(ctx context.Context, t Target, c BurstConfig) (Result, error) {
	r := Result{Workload: "burst", Transport: t.Transport(), Connections: c.Connections}
	if c.Connections < 1 || c.Events < 1 || c.Bursts < 1 {
		return r, errNoSize
	}
	l, err := prepareConnected(ctx, t, c.Connections, c.Connections)
	if err != nil {
		return r, err
	}
	defer l.close()
	if _, _, err := oneBurst(ctx, l, c, 0); err != nil { // warms up
		return r, err
	}
	m, err := startMeter(t)
	if err != nil {
		return r, err
	}
	answered := make([]time.Duration, c.Bursts)
	times := make([]time.Duration, c.Bursts)
	for i := range times {
		if answered[i], times[i], err = oneBurst(ctx, l, c, i+1); err != nil {
			return r, err
		}
	}
	if err := m.addTo(&r, "delivery", c.Bursts*c.Events*c.Connections); err != nil {
		return r, err
	}
	slices.Sort(answered)
	slices.Sort(times)
	r.addMillis("answered-p50", quantile(answered, 0.5))
	r.addMillis("last-p50", quantile(times, 0.5))
	r.addMillis("last-max", times[len(times)-1])
	return r, nil
}

// oneBurst publishes the burst of a number, counted from 0. It returns the time
// until the last receipt, and until the burst is everywhere.
func oneBurst(ctx context.Context, l *load, c BurstConfig, number int) (answered, last time.Duration, err error) {
	var drafts []byte
	for i := range c.Events {
		s := stamp{n: int64(number*c.Events+i) + 1}
		drafts = append(appendDraft(drafts, toAll, s, c.EventBytes), '\n')
	}
	a := newArrivals(c.Events * c.Connections)
	l.fleet.expect(a)
	start := now()
	if err := l.admin.publishAll(ctx, drafts, c.Events); err != nil {
		return 0, 0, err
	}
	answered = now() - start
	if err := l.fleet.wait(ctx, a); err != nil {
		return 0, 0, err
	}
	return answered, a.last - start, nil
}
