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
	passing       = 5  // gateways that come and go, at a time
	leastGateways = 10 // lasting ones: more than there are actors
	publishers    = 4

	retention = 2 * time.Minute
	// warmUp is longer than the retention and the two minutes for which keys of
	// publishes are remembered: until then memory grows because it should.
	warmUp = 3 * time.Minute
	// leastMeasured is how long gauges are read, after that, before their trends
	// are judged.
	leastMeasured = 5 * time.Minute

	checkEvery = 5 * time.Second
	readEvery  = time.Second
	lineEvery  = time.Minute

	// maxServerLog bounds the server's log. A publish is a line of it.
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
	record   record // of the goroutine that watches, until that ends

	ctx     context.Context // of all that speaks to the server
	stop    context.CancelCauseFunc
	running sync.WaitGroup // members

	keys    atomic.Int64
	resumed atomic.Int64 // connections that went on where another ended

	mu       sync.Mutex
	passing  []*gateway
	ends     map[client.CloseCode]int // connections by how they ended
	failures int
	told     []error // the first of the failures
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

// tell notes what went wrong besides events.
func (s *soak) tell(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	if len(s.told) < maxFaults {
		s.told = append(s.told, err)
	}
}

// count counts the end of a connection.
func (s *soak) count(code client.CloseCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends[code]++
}

// run soaks until the time is over or ctx ends, and returns what was wrong.
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
	defer context.AfterFunc(s.ctx, cancel)() // when the server is gone, the time is over
	actors := s.actors()
	watching, endWatch := context.WithCancel(s.ctx)
	var watch, work sync.WaitGroup
	watch.Go(func() { s.watch(watching, actors) })
	for range publishers {
		work.Go(func() { s.publishUntil(over) })
	}
	for _, a := range actors {
		work.Go(func() { a.run(s.ctx, over, s.tell) })
	}
	work.Wait()
	endWatch()
	watch.Wait()
	if s.ctx.Err() != nil {
		s.printLine(actors)
		return context.Cause(s.ctx)
	}
	if err := await(s.ctx, "everybody has everything", s.ledger.settled); err != nil {
		s.tell(err)
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
			return fmt.Errorf("register a gateway: %w", err)
		}
		if i < n {
			s.lasting = append(s.lasting, g)
		} else {
			s.passing = append(s.passing, g)
		}
	}
	return await(s.ctx, "everybody is connected", func() bool {
		for _, g := range slices.Concat(s.lasting, s.passing) {
			if !g.connected() {
				return false
			}
		}
		return true
	})
}

// publishUntil publishes a publisher's part of the rate until over ends. What it has
// begun it finishes.
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
			s.tell(fmt.Errorf("publish: %w", err))
		}
	}
}

// Of 100 events this many are for all, and for a group; the rest for one gateway.
const (
	percentToAll   = 1
	percentToGroup = 9
)

// publishAnyone publishes an event for whom chance says.
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

// publish publishes an event and enters its receipt.
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

// watch reads the gauges, has the ledger check, and prints a line a minute. When
// the server cannot be read it ends all.
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
				s.stop(fmt.Errorf("the server cannot be watched: %w", err))
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
	fmt.Fprintf(s.out, "%6v %v; %d acts, %d failures; RSS %.1f MB, heap %.1f MB, %.0f goroutines, %.0f descriptors\n",
		time.Since(s.begun).Round(time.Second), t, acts, s.failed(), r[0], r[1], r[2], r[3])
}

func (s *soak) failed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failures
}

// allTold returns the failures, as far as they were kept.
func (s *soak) allTold() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.told)
	if more := s.failures - len(list); more > 0 {
		list = append(list, fmt.Errorf("%d failures more", more))
	}
	return list
}

// verdict prints what there was, and returns what of it is wrong.
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
			wrong = append(wrong, fmt.Errorf("%s: it never came to that", a.name))
		}
	}
	fmt.Fprintf(s.out, "  connections that resumed   %d\n  connections by close code  %s\n", s.resumed.Load(), s.codes())
	wrong = append(wrong, s.allTold()...)
	fmt.Fprintf(s.out, "trends, after a warm-up of %v (retention is %v, keys of publishes are remembered for 2m: until then memory grows because it should);\n"+
		"rising is what has grown by more than %.0f%% of its mean, by least squares, with a slope less by twice its standard error:\n", s.warmUp, retention, 100*maxGrowth)
	rising := s.record.write(s.out)
	switch {
	case s.warmUp < warmUp || s.record.span() < leastMeasured:
		fmt.Fprintf(s.out, "they are not judged: that takes %v after a warm-up of %v (--for %v or more)\n", leastMeasured, warmUp, 3*warmUp)
	case len(rising) > 0:
		wrong = append(wrong, fmt.Errorf("rising: %s", strings.Join(rising, ", ")))
	}
	return errors.Join(wrong...)
}

// codes says how connections ended.
func (s *soak) codes() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, code := range slices.Sorted(maps.Keys(s.ends)) {
		name := fmt.Sprint(code)
		if code == noCode {
			name = "none of the server's"
		}
		list = append(list, fmt.Sprintf("%s: %d", name, s.ends[code]))
	}
	return strings.Join(list, ", ")
}
