// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// In a short soak, each actor succeeds at least once and no event is lost.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and soaks a server for some seconds")
	}
	var out bytes.Buffer
	if err := run(t.Context(), "../..", config{length: 3 * time.Second, connections: 40, rate: 100}, &out); err != nil {
		t.Error(err)
	}
	for _, part := range []string{"0 lost, 0 twice, 0 out of order, 0 foreign", "certificate", "descriptors ", "not judged"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the report has no %q", part)
		}
	}
	t.Log(out.String())
}

func TestConfig(t *testing.T) {
	good := config{length: time.Minute, connections: 40, rate: 100}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for field, change := range map[string]func(*config){
		"--for":         func(c *config) { c.length = 0 },
		"--connections": func(c *config) { c.connections = 2 },
		"--rate":        func(c *config) { c.rate = 0 },
		"descriptors":   func(c *config) { c.connections = 1 << 40 },
	} {
		c := good
		change(&c)
		if err := c.check(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// judged returns the verdict of a long soak in which each actor succeeded and all gauges were
// constant, after change modified it.
func judged(change func(*soak, []*actor)) error {
	s := &soak{ledger: newLedger(), out: new(bytes.Buffer), warmUp: warmUp}
	c := s.ledger.open("edge", []string{"all"}, 0)
	s.ledger.publish("all", 1)
	c.take(1)
	actors := s.actors()
	for _, a := range actors {
		a.done.Add(1)
	}
	for i := range 600 {
		s.record.add(warmUp+time.Duration(i)*time.Second, reading{50, 20, 70, 400})
	}
	change(s, actors)
	s.ledger.finish()
	return s.verdict(actors)
}

func TestVerdict(t *testing.T) {
	if err := judged(func(*soak, []*actor) {}); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*soak, []*actor){
		"1 lost":                 func(s *soak, _ []*actor) { s.ledger.publish("all", 2) },
		"0 checked":              func(s *soak, _ []*actor) { s.ledger = newLedger() },
		"kick: never succeeded":  func(_ *soak, list []*actor) { named(list, "kick").done.Store(0) },
		"no receipt":             func(s *soak, _ []*actor) { s.report(errors.New("no receipt")) },
		"rising: goroutines":     func(s *soak, _ []*actor) { leak(s, 2) },
		"rising: descriptors":    func(s *soak, _ []*actor) { leak(s, 3) },
		"rising: RSS, MB":        func(s *soak, _ []*actor) { leak(s, 0) },
		"10 more failures":       func(s *soak, _ []*actor) { fail(s, maxFaults+10) },
		"certificate: never suc": func(_ *soak, list []*actor) { named(list, "certificate").done.Store(0) },
	} {
		if err := judged(change); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A gauge that rises during the warm-up, or for a moment, is printed and not judged.
func TestTrendsAreNotJudgedTooSoon(t *testing.T) {
	for name, change := range map[string]func(*soak, []*actor){
		"a short warm-up": func(s *soak, _ []*actor) { s.warmUp-- },
		"few samples": func(s *soak, _ []*actor) {
			for i := range s.record.samples {
				s.record.samples[i] = s.record.samples[i][:100]
			}
		},
		"no samples": func(s *soak, _ []*actor) { s.record = record{} },
	} {
		var out *bytes.Buffer
		err := judged(func(s *soak, list []*actor) {
			out = s.out.(*bytes.Buffer)
			leak(s, 2)
			change(s, list)
		})
		if err != nil || !strings.Contains(out.String(), "not judged") {
			t.Errorf("%s: %v, and the report is\n%s", name, err, out)
		}
	}
}

func named(list []*actor, name string) *actor {
	for _, a := range list {
		if a.name == name {
			return a
		}
	}
	panic("BUG: no actor " + name)
}

// leak makes a gauge rise from the first sample on.
func leak(s *soak, gauge int) {
	list := s.record.samples[gauge]
	for i := range list {
		list[i].value *= 1 + float64(i)/50
	}
}

func fail(s *soak, n int) {
	for range n {
		s.report(errors.New("no receipt"))
	}
}

// An actor acts once even if the time is over already.
func TestActorActsAtLeastOnce(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	var s soak
	works := actor{name: "works", every: time.Hour, act: func(ctx context.Context) error { return ctx.Err() }}
	works.run(t.Context(), over, s.report)
	if works.done.Load() != 1 || s.failures > 0 {
		t.Errorf("done %d times, failures %v", works.done.Load(), s.errors)
	}
	fails := actor{name: "fails", every: time.Hour, act: func(context.Context) error { return errors.New("no such connection") }}
	fails.run(t.Context(), over, s.report)
	if fails.done.Load() != 0 || s.failures != 1 || !strings.Contains(s.errors[0].Error(), "fails: no such connection") {
		t.Errorf("done %d times, failures %v", fails.done.Load(), s.errors)
	}
}
