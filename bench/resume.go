// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ResumeConfig configures [Resume].
type ResumeConfig struct {
	Connections int           // that reconnect, each of another gateway
	Missed      int           // missed events, each for all of them
	Beside      int           // connections that stay connected
	Rate        int           // events per second to those, each to the next
	EventBytes  int           // of one event, as published
	Dialers     int           // connections made at the same time
	Quiet       time.Duration // between the restart and the storm

	// Restart kills the server and starts it again with the same data.
	Restart func(ctx context.Context) (Target, error)
	// Process is the command of a process that calls [ServeStorm]; Environ is added to its
	// environment.
	Process, Environ []string
}

// Resume kills and restarts a server, and reconnects all gateways at once: in one run without a
// position, in another with a position before the missed events.
func Resume(ctx context.Context, t Target, c ResumeConfig) (Result, error) {
	r := Result{Workload: "resume", Transport: t.Transport(), Connections: c.Connections}
	if c.Connections < 1 || c.Missed < 1 || c.Beside < 1 || c.Rate < 1 || c.Dialers < 1 {
		return r, errNoSize
	}
	l, err := prepare(ctx, t, c.Connections+c.Beside)
	if err != nil {
		return r, err
	}
	gateways := l.gateways
	since, err := l.miss(ctx, c.Missed, c.EventBytes)
	l.close()
	if err != nil {
		return r, err
	}
	fresh, err := c.comeBack(ctx, gateways, "", 0)
	if err != nil {
		return r, fmt.Errorf("without a position: %w", err)
	}
	resumed, err := c.comeBack(ctx, gateways, since, c.Missed)
	if err != nil {
		return r, fmt.Errorf("with a position: %w", err)
	}
	fresh.addTo(&r, "fresh-")
	resumed.addTo(&r, "resumed-")
	r.add("resumed÷fresh", "of-time", resumed.storm.Live.Seconds()/fresh.storm.Live.Seconds())
	r.add("server-cpu", "µs/replayed", micros(resumed.cpu-fresh.cpu)/float64(c.Connections*c.Missed))
	return r, nil
}

// miss publishes events to all while nobody is connected, and returns the position before them.
func (l *load) miss(ctx context.Context, events, eventBytes int) (since string, err error) {
	p, err := dialPeer(ctx, l.Target, &l.gateways[0])
	if err != nil {
		return "", err
	}
	p.reset()
	drafts := make([]byte, 0, events*(eventBytes+1))
	for i := range events {
		drafts = append(appendDraft(drafts, toAll, stamp{n: int64(i) + 1}, eventBytes), '\n')
	}
	return p.cursor, l.admin.publishAll(ctx, drafts, events)
}

// A reconnection is the measurement of one storm of reconnecting gateways.
type reconnection struct {
	storm      stormReport
	others     *histogram // delays of events to the connections that stayed
	cpu        time.Duration
	rss0, peak int64
}

func (c *ResumeConfig) comeBack(ctx context.Context, gateways []gateway, since string, missed int) (b reconnection, err error) {
	t, err := c.Restart(ctx)
	if err != nil {
		return b, err
	}
	l := newLoad(t)
	defer l.close()
	l.gateways = gateways[:c.Beside]
	if err := l.connect(ctx, c.Beside, defaultDialers); err != nil {
		return b, err
	}
	s, err := newSteady(ctx, l, besidePublishers, c.Rate, c.EventBytes)
	if err != nil {
		return b, err
	}
	defer s.close()
	for i := range s.numbers {
		s.numbers[i] = int64(missed) // numbers continue after the missed events
	}
	if err := sleep(ctx, c.Quiet); err != nil {
		return b, err
	}
	storm, err := startStorm(ctx, c.Process, c.Environ)
	if err != nil {
		return b, err
	}
	memory, err := resetMemory(t.Process)
	if err != nil {
		return b, errors.Join(err, storm.end())
	}
	before, err := t.Process.CPU()
	if err != nil {
		return b, errors.Join(err, storm.end())
	}
	b.others, err = s.during(ctx, l.fleet, func(context.Context) (err error) {
		b.storm, err = storm.resume(t, gateways[c.Beside:], c.Dialers, since, missed)
		return err
	})
	if err := errors.Join(err, storm.end()); err != nil {
		return b, err
	}
	after, err := t.Process.CPU()
	if err != nil {
		return b, err
	}
	peak, err := t.Process.Memory()
	b.cpu, b.rss0, b.peak = after-before, memory.RSS, peak.Peak
	return b, err
}

func (b *reconnection) addTo(r *Result, prefix string) {
	r.add(prefix+"acked", "s", b.storm.Took.Seconds())
	r.add(prefix+"live", "s", b.storm.Live.Seconds())
	r.add(prefix+"rss-before", "MB", float64(b.rss0)/(1<<20))
	r.add(prefix+"rss-peak", "MB", float64(b.peak)/(1<<20))
	r.addLatency(prefix+"others-", b.others)
}

// ReplayConfig configures [Replay].
type ReplayConfig struct {
	Events     int // missed events of the gateway
	EventBytes int // of one event, as published
}

// Replay reconnects one gateway that has missed many events.
func Replay(ctx context.Context, t Target, c ReplayConfig) (Result, error) {
	r := Result{Workload: "replay", Transport: t.Transport(), Connections: 1}
	if c.Events < 1 {
		return r, errNoSize
	}
	l, err := prepare(ctx, t, 1)
	if err != nil {
		return r, err
	}
	defer l.close()
	if l.gateways[0].since, err = l.miss(ctx, c.Events, c.EventBytes); err != nil {
		return r, err
	}
	if err := sleep(ctx, time.Second); err != nil { // let the log finish its writes
		return r, err
	}
	a := newArrivals(c.Events)
	l.fleet.expect(a)
	m, err := startMeter(t)
	if err != nil {
		return r, err
	}
	start := now()
	if err := l.connect(ctx, 1, 1); err != nil {
		return r, err
	}
	if err := l.fleet.wait(ctx, a); err != nil {
		return r, err
	}
	if err := m.addTo(&r, "event", c.Events); err != nil {
		return r, err
	}
	r.add("received", "events/s", float64(c.Events)/(a.lastAt()-start).Seconds())
	return r, nil
}
