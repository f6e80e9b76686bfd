// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/bench"
	"github.com/gatecast/gatecast/client"
)

const (
	groups        = 10
	passing       = 5  // temporary gateways at the same time
	leastGateways = 10 // permanent gateways: more than actors
	publishers    = 4

	retention = 2 * time.Minute
	// warmUp is longer than the retention, and than the two minutes for which idempotency keys are
	// kept. Before that, memory grows as expected.
	warmUp = 3 * time.Minute
	// leastMeasured is the time after the warm-up for which gauges are read before their trends are
	// judged.
	leastMeasured = 5 * time.Minute

	checkEvery = 5 * time.Second
	readEvery  = time.Second
	lineEvery  = time.Minute

	// maxServerLog bounds the log of the server, which has a line per publish.
	maxServerLog = 64 << 20
)

// A soak is one run.
type soak struct {
	c        config
	server   *bench.Server
	target   bench.Target
	pair     pair
	platform *platform
	ledger   *ledger
	lasting  []*gateway
	out      io.Writer
	begun    time.Time
	warmUp   time.Duration
	record   record // owned by the goroutine of watch until it ends

	ctx     context.Context // of everything that uses the server
	stop    context.CancelCauseFunc
	running sync.WaitGroup // of the members

	keys    atomic.Int64
	resumed atomic.Int64 // connections that resumed

	mu       sync.Mutex
	passing  []*gateway
	ends     map[client.CloseCode]int // numbers of connections by close code
	failures int
	errors   []error // the first failures
}

func newSoak(server *bench.Server, p pair, c config, out io.Writer) *soak {
	s := &soak{
		c: c, server: server, target: server.Target, pair: p, platform: newPlatform(server.Target),
		ledger: newLedger(), out: out, warmUp: min(warmUp, c.length/3), ends: make(map[client.CloseCode]int),
	}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	return s
}

func groupName(i int) string { return fmt.Sprintf("group-%d", i%groups) }

// report records a failure that is not about events.
func (s *soak) report(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	if len(s.errors) < maxFaults {
		s.errors = append(s.errors, err)
	}
}

// count counts the end of a connection.
func (s *soak) count(code client.CloseCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends[code]++
}

// run soaks for the configured time or until ctx ends, and returns what was wrong.
func (s *soak) run(ctx context.Context) error {
	defer s.platform.close()
	defer s.running.Wait()
	defer s.stop(nil)
	if err := s.assemble(); err != nil {
		return err
	}
	s.begun = time.Now()
	over, cancel := context.WithTimeout(ctx, s.c.length)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)() // ends the run when the server has ended
	actors := s.actors()
	watching, endWatch := context.WithCancel(s.ctx)
	var watch, work sync.WaitGroup
	watch.Go(func() { s.watch(watching, actors) })
	for range publishers {
		work.Go(func() { s.publishUntil(over) })
	}
	for _, a := range actors {
		work.Go(func() { a.run(s.ctx, over, s.report) })
	}
	work.Wait()
	endWatch()
	watch.Wait()
	if s.ctx.Err() != nil {
		s.printLine(actors)
		return context.Cause(s.ctx)
	}
	if err := await(s.ctx, "all expected events have arrived", s.ledger.settled); err != nil {
		s.report(err)
	}
	s.ledger.finish()
	return s.verdict(actors)
}

// assemble registers the gateways and waits until they are connected.
func (s *soak) assemble() error {
	n := s.c.connections / members
	for i := range n + passing {
		g, err := s.join(s.ctx, groupName(i))
		if err != nil {
			return fmt.Errorf("cannot register a gateway: %w", err)
		}
		if i < n {
			s.lasting = append(s.lasting, g)
		} else {
			s.passing = append(s.passing, g)
		}
	}
	return await(s.ctx, "all gateways are connected", func() bool {
		for _, g := range slices.Concat(s.lasting, s.passing) {
			if !g.connected() {
				return false
			}
		}
		return true
	})
}

// publishUntil publishes one publisher's share of the rate until over ends. It completes the last
// publish.
func (s *soak) publishUntil(over context.Context) {
	tick := time.NewTicker(time.Second * publishers / time.Duration(s.c.rate))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-over.Done():
			return
		}
		if err := s.publishAnyone(s.ctx); err != nil {
			s.report(fmt.Errorf("publish: %w", err))
		}
	}
}

// Of 100 events, so many are for all and for a group. The others are for one gateway.
const (
	percentToAll   = 1
	percentToGroup = 9
)

// publishAnyone publishes an event for a random audience.
func (s *soak) publishAnyone(ctx context.Context) error {
	size := 100 + rand.IntN(800)
	switch n := rand.IntN(100); {
	case n < percentToAll:
		return s.publish(ctx, toAll, size)
	case n < percentToAll+percentToGroup:
		return s.publish(ctx, toGroup(groupName(rand.IntN(groups))), size)
	}
	g := s.anyone()
	g.publishing.RLock()
	defer g.publishing.RUnlock()
	if g.isRemoved() {
		return nil
	}
	return s.publish(ctx, g.toIt(), size)
}

func (s *soak) anyone() *gateway {
	i := rand.IntN(len(s.lasting) + passing)
	if i < len(s.lasting) {
		return s.lasting[i]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.passing[i-len(s.lasting)]
}

// publish publishes an event and adds its receipt to the ledger.
func (s *soak) publish(ctx context.Context, audience string, size int) error {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = 'a' + byte(i%26)
	}
	key := fmt.Sprint("soak-", s.keys.Add(1))
	flight := s.ledger.begin()
	seq, err := s.platform.publish(ctx, audience, key, payload)
	if err != nil {
		s.ledger.abandon(flight)
		return err
	}
	s.ledger.enter(flight, audience, seq)
	return nil
}

// watch reads the gauges, checks the ledger, and prints one line per minute. If it cannot read the
// server it ends the run.
func (s *soak) watch(ctx context.Context, actors []*actor) {
	read, check, line := time.NewTicker(readEvery), time.NewTicker(checkEvery), time.NewTicker(lineEvery)
	defer read.Stop()
	defer check.Stop()
	defer line.Stop()
	for {
		select {
		case <-read.C:
			r, err := s.read(ctx)
			if err == nil {
				err = s.server.TrimLog(maxServerLog)
			}
			switch at := time.Since(s.begun); {
			case ctx.Err() != nil:
				return
			case err != nil:
				s.stop(fmt.Errorf("cannot read the server's state: %w", err))
				return
			case at >= s.warmUp:
				s.record.add(at, r)
			}
			s.record.latest = r
		case <-check.C:
			s.ledger.check()
		case <-line.C:
			s.printLine(actors)
		case <-ctx.Done():
			return
		}
	}
}

func (s *soak) printLine(actors []*actor) {
	t, _ := s.ledger.state()
	acts := int64(0)
	for _, a := range actors {
		acts += a.done.Load()
	}
	r := s.record.latest
	fmt.Fprintf(s.out, "%6v %v; %d actions, %d failures; RSS %.1f MB, heap %.1f MB, %.0f goroutines, %.0f descriptors\n",
		time.Since(s.begun).Round(time.Second), t, acts, s.failed(), r[0], r[1], r[2], r[3])
}

func (s *soak) failed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failures
}

// allErrors returns the recorded failures.
func (s *soak) allErrors() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.errors)
	if more := s.failures - len(list); more > 0 {
		list = append(list, fmt.Errorf("%d more failures", more))
	}
	return list
}

// verdict prints a report and returns what was wrong.
func (s *soak) verdict(actors []*actor) error {
	s.printLine(actors)
	t, faults := s.ledger.state()
	var wrong []error
	if t.wrong() > 0 || t.checked == 0 {
		wrong = append(wrong, fmt.Errorf("events: %v", t))
	}
	for _, fault := range faults {
		fmt.Fprintln(s.out, " ", fault)
	}
	for _, a := range actors {
		fmt.Fprintf(s.out, "  %-26s %d times\n", a.name, a.done.Load())
		if a.done.Load() == 0 {
			wrong = append(wrong, fmt.Errorf("%s: never succeeded", a.name))
		}
	}
	fmt.Fprintf(s.out, "  connections that resumed   %d\n  connections by close code  %s\n", s.resumed.Load(), s.codes())
	wrong = append(wrong, s.allErrors()...)
	fmt.Fprintf(s.out, "trends, after a warm-up of %v (retention is %v, idempotency keys are kept for 2m: before that memory grows as expected);\n"+
		"rising is a growth of more than %.0f%% of the mean, by least squares, minus twice the standard error of the slope:\n", s.warmUp, retention, 100*maxGrowth)
	rising := s.record.write(s.out)
	switch {
	case s.warmUp < warmUp || s.record.span() < leastMeasured:
		fmt.Fprintf(s.out, "not judged: that takes %v after a warm-up of %v (--for %v or more)\n", leastMeasured, warmUp, 3*warmUp)
	case len(rising) > 0:
		wrong = append(wrong, fmt.Errorf("rising: %s", strings.Join(rising, ", ")))
	}
	return errors.Join(wrong...)
}

// codes returns how many connections ended with each close code.
func (s *soak) codes() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, code := range slices.Sorted(maps.Keys(s.ends)) {
		name := fmt.Sprint(code)
		if code == noCode {
			name = "none"
		}
		list = append(list, fmt.Sprintf("%s: %d", name, s.ends[code]))
	}
	return strings.Join(list, ", ")
}
