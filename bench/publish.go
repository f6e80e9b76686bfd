// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"time"
)

// PublishConfig configures [Publish].
type PublishConfig struct {
	Gateways   int // each with one connection; events go to them in turn
	Events     int
	EventBytes int  // of one event, as published
	Bulk       bool // newline-delimited JSON in one request; otherwise one request per event
	// Publishers is the number of connections that publish at the same time, each to its own
	// gateways, so that the order of events is known. 0 means 1.
	Publishers int
	Acks       bool // the gateways ack each event
}

// Publish publishes as fast as possible, and measures the rate up to the arrival of the last event.
func Publish(ctx context.Context, t Target, c PublishConfig) (Result, error) {
	c.Publishers = max(c.Publishers, 1)
	r := Result{Workload: c.workload(), Transport: t.Transport(), Connections: c.Gateways}
	switch {
	case c.Gateways < 1 || c.Events < 1:
		return r, errNoSize
	case !c.Bulk && c.Publishers > c.Gateways:
		return r, fmt.Errorf("%d publishers need a gateway each, but there are only %d gateways", c.Publishers, c.Gateways)
	}
	l, err := prepare(ctx, t, c.Gateways)
	if err != nil {
		return r, err
	}
	defer l.close()
	l.fleet.acks = c.Acks
	if err := l.connect(ctx, c.Gateways, defaultDialers); err != nil {
		return r, err
	}
	a := newArrivals(c.Events)
	l.fleet.expect(a)
	publish := publishSingly
	if c.Bulk {
		publish = publishInBulk
	}
	m, err := startMeter(t)
	if err != nil {
		return r, err
	}
	delays := new(histogram)
	start, answered, err := publish(ctx, l, c, delays)
	if err != nil {
		return r, err
	}
	if err := l.fleet.wait(ctx, a); err != nil {
		return r, err
	}
	if err := m.addTo(&r, "event", c.Events); err != nil {
		return r, err
	}
	r.add("received", "events/s", float64(c.Events)/(a.lastAt()-start).Seconds())
	r.add("answered", "events/s", float64(c.Events)/(answered-start).Seconds())
	if !c.Bulk {
		r.addMillis("receipt-p50", delays.quantile(0.5))
		r.addMillis("receipt-p99", delays.quantile(0.99))
	}
	return r, nil
}

func (c PublishConfig) workload() string {
	switch {
	case c.Bulk && c.Acks:
		return "publish/bulk-acked"
	case c.Bulk:
		return "publish/bulk"
	case c.Publishers > 1:
		return fmt.Sprintf("publish/one-by-one-on-%d", c.Publishers)
	}
	return "publish/one-by-one"
}

// publishSingly publishes one event per request. It returns when the first request was sent and the
// last was answered, and adds the duration of each to delays.
func publishSingly(ctx context.Context, l *load, c PublishConfig, delays *histogram) (start, answered time.Duration, err error) {
	publishers, err := dialPublishers(ctx, l.Target, c.Publishers)
	defer publishers.close()
	if err != nil {
		return 0, 0, err
	}
	start = now()
	err = inParallel(ctx, c.Publishers, c.Publishers, func(ctx context.Context, k int) error {
		shares := shareOf(l.gateways, k, c.Publishers)
		for i := 0; i*c.Publishers+k < c.Events; i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			s := stamp{n: int64(i*c.Publishers+k) + 1, sent: now()}
			if err := publishers[k].publish(shares[i%len(shares)].audience(), s, c.EventBytes); err != nil {
				return err
			}
			delays.add(now() - s.sent)
		}
		return nil
	})
	return start, now(), err
}

// shareOf returns the gateways of publisher k. Each gateway has one publisher, because events of
// several publishers have no order.
func shareOf(gateways []gateway, k, publishers int) (share []*gateway) {
	for i := k; i < len(gateways); i += publishers {
		share = append(share, &gateways[i])
	}
	return share
}

// publishers can be used by one goroutine each.
type publishers []*publisher

// dialPublishers makes n publishers. On an error it returns those that it made.
func dialPublishers(ctx context.Context, t Target, n int) (list publishers, err error) {
	for range n {
		p, err := dialPublisher(ctx, t)
		if err != nil {
			return list, err
		}
		list = append(list, p)
	}
	return list, nil
}

func (list publishers) close() {
	for _, p := range list {
		p.close()
	}
}

// publishInBulk publishes all events in one request.
func publishInBulk(ctx context.Context, l *load, c PublishConfig, _ *histogram) (start, answered time.Duration, err error) {
	drafts := make([]byte, 0, c.Events*(c.EventBytes+1))
	for i := range c.Events {
		to := l.gateways[i%len(l.gateways)].audience()
		drafts = append(appendDraft(drafts, to, stamp{n: int64(i) + 1}, c.EventBytes), '\n')
	}
	start = now()
	err = l.admin.publishAll(ctx, drafts, c.Events)
	return start, now(), err
}
