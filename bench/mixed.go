// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// MixedConfig configures [Mixed].
type MixedConfig struct {
	Connections int           // each of another gateway
	Rate        int           // events per second, each to a random gateway
	AllEvery    int           // every event with a number divisible by AllEvery is for all; 0: none
	Churn       int           // connections per second that are closed and made again
	For         time.Duration // duration
	EventBytes  int           // of one event, as published
}

// Mixed publishes events at a constant rate, most to single gateways and some to all, while
// gateways disconnect and reconnect. It fails unless each connection received every event between
// its ack's cursor and its end, once and in order.
func Mixed(ctx context.Context, t Target, c MixedConfig) (Result, error) {
	r := Result{Workload: "mixed", Transport: t.Transport(), Connections: c.Connections}
	if c.Connections < 1 || c.Rate < 1 || c.AllEvery < 0 || c.Churn < 1 || c.For <= 0 {
		return r, errNoSize
	}
	if err := CheckDescriptors(c.Connections); err != nil {
		return r, err
	}
	l, err := prepare(ctx, t, c.Connections)
	if err != nil {
		return r, err
	}
	defer l.close()
	x := &mixed{load: l, c: c, ledger: newLedger(), current: make([]*session, c.Connections)}
	x.ctx, x.fail = context.WithCancelCause(ctx)
	defer x.fail(nil)
	defer x.leaveAll()
	err = x.run(&r)
	return r, err
}

// A mixed is a run of [Mixed].
type mixed struct {
	*load
	c      MixedConfig
	ctx    context.Context
	fail   context.CancelCauseFunc // ends the run
	ledger *ledger

	current []*session // one per gateway; owned by churn while it runs
	former  []*session // sessions that have ended

	toOne, toAll histogram // delays
}

func (x *mixed) run(r *Result) error {
	err := inParallel(x.ctx, len(x.current), defaultDialers, func(_ context.Context, i int) error { return x.join(i) })
	if err != nil {
		return fmt.Errorf("cannot make %s: %w", plural(x.c.Connections, "connection"), err)
	}
	if err := x.addMemory(r, "rss-before"); err != nil {
		return err
	}
	m, err := startMeter(x.Target)
	if err != nil {
		return err
	}
	published, err := x.publishAndChurn()
	if err != nil {
		return err
	}
	if err := x.awaitAll(); err != nil {
		return err
	}
	if err := m.addRateTo(r); err != nil {
		return err
	}
	if err := x.addMemory(r, "rss-after"); err != nil {
		return err
	}
	x.leaveAll()
	r.addLatency("", &x.toOne)
	if x.c.AllEvery > 0 {
		r.addLatency("all-", &x.toAll)
	}
	r.add("published", "events", float64(published))
	r.add("delivered", "deliveries", float64(x.toOne.count.Load()+x.toAll.count.Load()))
	r.add("churned", "connections", float64(len(x.former)-x.c.Connections))
	return x.check()
}

func (x *mixed) addMemory(r *Result, name string) error {
	if x.Process == 0 {
		return nil
	}
	m, err := x.Process.Memory()
	r.add(name, "MB", float64(m.RSS)/(1<<20))
	return err
}

// join connects a gateway.
func (x *mixed) join(i int) error {
	s, err := dialSession(x.ctx, x.Target, &x.gateways[i])
	if err != nil {
		return err
	}
	x.current[i] = s
	go func() {
		s.run(x.arrived)
		if !s.leaving.Load() {
			x.fail(fmt.Errorf("gateway %d: %w", s.peer.gateway, s.err))
		}
	}()
	return nil
}

func (x *mixed) arrived(s stamp) {
	delays := &x.toOne
	if s.to == 0 {
		delays = &x.toAll
	}
	delays.add(now() - s.sent)
}

// publishAndChurn runs publish and churn for the configured time.
func (x *mixed) publishAndChurn() (published int, err error) {
	over, cancel := context.WithTimeout(x.ctx, x.c.For)
	defer cancel()
	var both sync.WaitGroup
	both.Go(func() {
		if err := x.churn(over); err != nil {
			x.fail(err)
		}
	})
	both.Go(func() {
		var err error
		if published, err = x.publish(over); err != nil {
			x.fail(err)
		}
	})
	both.Wait()
	return published, context.Cause(x.ctx)
}

// publish publishes until over ends. It completes the last publish, because the ledger must contain
// every published event.
func (x *mixed) publish(over context.Context) (n int, err error) {
	p, err := dialPublisher(x.ctx, x.Target)
	if err != nil {
		return 0, err
	}
	defer p.close()
	pace := newPace(now(), perSecond(x.c.Rate))
	defer pace.stop()
	for {
		sent, err := pace.next(over)
		if err != nil {
			return n, nil // the time is over, or x.ctx has the error
		}
		to := x.audience(n + 1)
		n++
		if err := p.publish(to, stamp{n: int64(n), sent: sent}, x.c.EventBytes); err != nil {
			return n, err
		}
		id, err := p.receipt()
		if err != nil {
			return n, err
		}
		x.ledger.enter(to.number, entry{int64(n), id})
	}
}

// audience returns the audience of event n.
func (x *mixed) audience(n int) audience {
	if x.c.AllEvery > 0 && n%x.c.AllEvery == 0 {
		return toAll
	}
	return x.gateways[rand.IntN(len(x.gateways))].audience()
}

// churn disconnects and reconnects one gateway after the other, in a random order, until over ends.
func (x *mixed) churn(over context.Context) error {
	order := rand.Perm(len(x.current))
	pace := newPace(now(), perSecond(x.c.Churn))
	defer pace.stop()
	for i := 0; ; i++ {
		if _, err := pace.next(over); err != nil {
			return nil // the time is over
		}
		k := order[i%len(order)]
		s := x.current[k]
		if err := s.await(x.ctx, x.due(s)); err != nil {
			return err
		}
		x.former = append(x.former, s)
		x.current[k] = nil
		s.leave()
		if err := x.join(k); err != nil {
			return fmt.Errorf("gateway %d cannot reconnect: %w", k+1, err)
		}
	}
}

// due returns the events that a session must receive.
func (x *mixed) due(s *session) []int64 { return x.ledger.after(s.peer.gateway, s.cursor) }

// awaitAll waits until all sessions have received all events.
func (x *mixed) awaitAll() error {
	for _, s := range x.current {
		if err := s.await(x.ctx, x.due(s)); err != nil {
			return errors.Join(err, context.Cause(x.ctx))
		}
	}
	return nil
}

// leaveAll ends all sessions.
func (x *mixed) leaveAll() {
	for i, s := range x.current {
		if s != nil {
			x.former = append(x.former, s)
			x.current[i] = nil
			s.leave()
		}
	}
}

// check checks all sessions, after they ended.
func (x *mixed) check() error {
	for _, s := range x.former {
		if err := s.check(x.due(s)); err != nil {
			return err
		}
	}
	return nil
}
