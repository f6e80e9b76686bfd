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
	Connections int // each of another gateway
	Events      int // in one burst
	EventBytes  int // of one event, as published
	Bursts      int
}

// Burst publishes several events to all gateways in one request, so that a server can combine its
// writes to a connection. The next burst starts after the last delivery of the one before.
func Burst(ctx context.Context, t Target, c BurstConfig) (Result, error) {
	r := Result{Workload: "burst", Transport: t.Transport(), Connections: c.Connections}
	if c.Connections < 1 || c.Events < 1 || c.Bursts < 1 {
		return r, errNoSize
	}
	audiences := slices.Repeat([]audience{toAll}, c.Events)
	err := runVolleys(ctx, t, &r, c.Bursts, c.EventBytes, c.Events*c.Connections, func([]gateway) []audience { return audiences })
	return r, err
}

// EachConfig configures [Each].
type EachConfig struct {
	Connections int // each of another gateway
	EventBytes  int // of one event, as published
	Rounds      int
}

// Each publishes one event for each gateway, all in one request. So it measures the cost of a
// delivery that shares its event with no other delivery. The next round starts after the last
// delivery of the one before.
func Each(ctx context.Context, t Target, c EachConfig) (Result, error) {
	r := Result{Workload: "each", Transport: t.Transport(), Connections: c.Connections}
	if c.Connections < 1 || c.Rounds < 1 {
		return r, errNoSize
	}
	err := runVolleys(ctx, t, &r, c.Rounds, c.EventBytes, c.Connections, eachGateway)
	return r, err
}

// eachGateway returns one audience per gateway.
func eachGateway(gateways []gateway) []audience {
	list := make([]audience, len(gateways))
	for i := range gateways {
		list[i] = gateways[i].audience()
	}
	return list
}

// A volley is the events published in one request.
type volley struct {
	*load
	audiences  []audience // one per event
	eventBytes int
	deliveries int
	n          int64 // number of the last event
}

// runVolleys connects r.Connections gateways and fires rounds volleys of deliveries deliveries
// each.
func runVolleys(ctx context.Context, t Target, r *Result, rounds, eventBytes, deliveries int, to func([]gateway) []audience) error {
	l, err := prepareConnected(ctx, t, r.Connections, r.Connections)
	if err != nil {
		return err
	}
	defer l.close()
	v := volley{load: l, audiences: to(l.gateways), eventBytes: eventBytes, deliveries: deliveries}
	if _, _, err := v.fire(ctx); err != nil { // warm-up
		return err
	}
	m, err := startMeter(t)
	if err != nil {
		return err
	}
	answered, last := make([]time.Duration, rounds), make([]time.Duration, rounds)
	for i := range rounds {
		if answered[i], last[i], err = v.fire(ctx); err != nil {
			return err
		}
	}
	if err := m.addTo(r, "delivery", rounds*deliveries); err != nil {
		return err
	}
	slices.Sort(answered)
	slices.Sort(last)
	r.addMillis("answered-p50", quantile(answered, 0.5))
	r.addMillis("last-p50", quantile(last, 0.5))
	r.addMillis("last-max", last[rounds-1])
	return nil
}

// fire publishes the events. It returns the time until the last receipt and until the last
// delivery.
func (v *volley) fire(ctx context.Context) (answered, last time.Duration, err error) {
	drafts := make([]byte, 0, len(v.audiences)*(v.eventBytes+1))
	for _, to := range v.audiences {
		v.n++
		drafts = append(appendDraft(drafts, to, stamp{n: v.n}, v.eventBytes), '\n')
	}
	a := newArrivals(v.deliveries)
	v.fleet.expect(a)
	start := now()
	if err := v.admin.publishAll(ctx, drafts, len(v.audiences)); err != nil {
		return 0, 0, err
	}
	answered = now() - start
	if err := v.fleet.wait(ctx, a); err != nil {
		return 0, 0, err
	}
	return answered, a.lastAt() - start, nil
}
