// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"time"
)

// PublishConfig configures [Publish].
type PublishConfig struct {
	Gateways   int // each with one connection; the events go to them by turns
	Events     int
	EventBytes int  // of an event as it is published
	Bulk       bool // newline-delimited JSON in one request; else a request each, on one connection
}

// Publish publishes as fast as it goes and measures the rate up to the arrival
// of the last event.
func Publish(ctx context.Context, t Target, c PublishConfig) (Result, error) {
	r := Result{Workload: "publish/one-by-one", Transport: t.Transport(), Connections: c.Gateways}
	publish := publishSingly
	if c.Bulk {
		r.Workload, publish = "publish/bulk", publishInBulk
	}
	if c.Gateways < 1 || c.Events < 1 {
		return r, errNoSize
	}
	l, err := prepareConnected(ctx, t, c.Gateways, c.Gateways)
	if err != nil {
		return r, err
	}
	defer l.close()
	a := newArrivals(c.Events)
	l.fleet.expect(a)
	m, err := startMeter(t)
	if err != nil {
		return r, err
	}
	start, answered, err := publish(ctx, l, c)
	if err != nil {
		return r, err
	}
	if err := l.fleet.wait(ctx, a); err != nil {
		return r, err
	}
	if err := m.addTo(&r, "event", c.Events); err != nil {
		return r, err
	}
	r.add("received", "events/s", float64(c.Events)/(a.last-start).Seconds())
	r.add("answered", "events/s", float64(c.Events)/(answered-start).Seconds())
	return r, nil
}

// publishSingly publishes one event a request. It returns when the first was
// sent and when the last was answered.
func publishSingly(ctx context.Context, l *load, c PublishConfig) (start, answered time.Duration, err error) {
	p, err := dialPublisher(ctx, l.Target)
	if err != nil {
		return 0, 0, err
	}
	defer p.close()
	start = now()
	for i := range c.Events {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		to := toGateway(l.gateways[i%len(l.gateways)].ID)
		if err := p.publish(to, stamp{int64(i) + 1, now()}, c.EventBytes); err != nil {
			return 0, 0, err
		}
	}
	return start, now(), nil
}

// publishInBulk publishes all events in one request.
func publishInBulk(ctx context.Context, l *load, c PublishConfig) (start, answered time.Duration, err error) {
	drafts := make([]byte, 0, c.Events*(c.EventBytes+1))
	for i := range c.Events {
		to := toGateway(l.gateways[i%len(l.gateways)].ID)
		drafts = append(appendDraft(drafts, to, stamp{n: int64(i) + 1}, c.EventBytes), '\n')
	}
	start = now()
	err = l.admin.publishAll(ctx, drafts, c.Events)
	return start, now(), err
}
