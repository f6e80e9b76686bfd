// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// publish adds receipts, in order.
func (l *ledger) publish(audience string, seqs ...uint64) {
	for _, seq := range seqs {
		l.enter(l.begin(), audience, seq)
	}
}

func (c *chain) takeAll(seqs ...uint64) {
	for _, seq := range seqs {
		c.take(seq)
	}
}

func TestLedgerVerdict(t *testing.T) {
	for name, test := range map[string]struct {
		got   []uint64 // of: 11 to the gateway, 12 to its group, 13 to another gateway, 14 to all
		want  totals
		fault string
	}{
		"all":                   {got: []uint64{11, 12, 14}, want: totals{received: 3, checked: 3}},
		"one missing":           {got: []uint64{11, 14}, want: totals{received: 2, checked: 2, lost: 1}, fault: "events [12] were not received"},
		"the last ones missing": {got: []uint64{11}, want: totals{received: 1, checked: 1, lost: 2}, fault: "events [12 14] were not received"},
		"nothing received":      {want: totals{lost: 3}, fault: "events [11 12 14] were not received"},
		"one duplicate":         {got: []uint64{11, 12, 12, 14}, want: totals{received: 4, checked: 3, doubled: 1}, fault: "event 12 is a duplicate"},
		"one late duplicate":    {got: []uint64{11, 12, 14, 11}, want: totals{received: 4, checked: 3, doubled: 1}, fault: "event 11 is a duplicate, after event 14"},
		"out of order":          {got: []uint64{11, 14, 12}, want: totals{received: 3, checked: 3, disordered: 1}, fault: "event 12 arrived after event 14"},
		"for another gateway":   {got: []uint64{11, 12, 13, 14}, want: totals{received: 4, checked: 3, foreign: 1}, fault: "events [13] were for another gateway"},
		"from before the chain": {got: []uint64{9, 11, 12, 14}, want: totals{received: 4, checked: 3, doubled: 1}, fault: "event 9 is a duplicate"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			c := l.open("edge", []string{"edge", "group", "all"}, 10)
			c.note("connected")
			l.publish("edge", 9, 11)
			l.publish("group", 12)
			l.publish("other", 13)
			l.publish("all", 14)
			c.takeAll(test.got...)
			l.check()
			l.finish()
			test.want.published = 5
			got, faults := l.state()
			if got != test.want {
				t.Errorf("got %+v\nwant %+v", got, test.want)
			}
			if test.fault == "" && len(faults) > 0 || !strings.Contains(strings.Join(faults, "\n"), test.fault) {
				t.Errorf("faults %q, want %q", faults, test.fault)
			}
		})
	}
}

// An event without a receipt yet is not foreign. An event after the last one of a chain is not lost
// yet.
func TestLedgerCheckWaits(t *testing.T) {
	l := newLedger()
	c := l.open("edge", []string{"edge"}, 0)
	early := l.begin()
	l.publish("edge", 2, 3)
	c.takeAll(1, 2)
	l.check()
	if got, _ := l.state(); got != (totals{published: 2, received: 2}) {
		t.Errorf("with a receipt outstanding: %+v", got)
	}
	l.enter(early, "edge", 1)
	l.check()
	if got, _ := l.state(); got != (totals{published: 3, received: 2, checked: 2}) {
		t.Errorf("before event 3 arrived: %+v", got)
	}
	if l.settled() {
		t.Error("settled without event 3")
	}
	c.take(3)
	if !l.settled() {
		t.Error("not settled with all events")
	}
}

// A retired chain expects no events after its last one.
func TestLedgerRetired(t *testing.T) {
	l := newLedger()
	whole, broken := l.open("whole", []string{"all"}, 0), l.open("broken", []string{"all"}, 0)
	l.publish("all", 1, 2, 3, 4)
	whole.takeAll(1, 2)
	broken.takeAll(1, 3)
	whole.retire()
	broken.retire()
	if !l.settled() {
		t.Error("not settled, although no chain is open")
	}
	l.check()
	if len(l.chains) > 0 {
		t.Errorf("%d retired chains are kept", len(l.chains))
	}
	if got, _ := l.state(); got.lost != 1 || got.checked != 4 {
		t.Errorf("got %+v, want event 2 lost once", got)
	}
}

// The ledger keeps only what lies between two checks.
func TestLedgerForgets(t *testing.T) {
	l := newLedger()
	slow, fast := l.open("slow", []string{"all"}, 0), l.open("fast", []string{"all"}, 0)
	const round = 100
	for first := uint64(1); first < 50*round; first += round {
		for seq := first; seq < first+round; seq++ {
			l.publish("all", seq)
			fast.take(seq)
			if seq > round { // one round late
				slow.take(seq - round)
			}
		}
		l.check()
		if n := len(l.receipts["all"]); n > 3*round {
			t.Fatalf("%d receipts are held at %d", n, first)
		}
		if n := len(fast.got) + len(slow.got); n > round {
			t.Fatalf("%d events are held at %d", n, first)
		}
	}
	if got, faults := l.state(); got.wrong() > 0 {
		t.Errorf("got %+v: %q", got, faults)
	}
}

// Receipts of concurrent publishes arrive in any order. The result does not depend on it, nor on
// the times of the checks.
func TestLedgerAnyOrder(t *testing.T) {
	for range 200 {
		l := newLedger()
		c := l.open("edge", []string{"all"}, 0)
		flights := map[uint64]*flight{}
		var due []uint64
		for seq := uint64(1); seq <= 100; seq++ {
			flights[seq] = l.begin()
			due = append(due, seq)
			if seq != 50 {
				c.take(seq)
			}
			for len(due) > 0 && rand.IntN(3) > 0 {
				i := rand.IntN(len(due))
				l.enter(flights[due[i]], "all", due[i])
				due = slices.Delete(due, i, i+1)
			}
			if rand.IntN(10) == 0 {
				l.check()
			}
		}
		for _, seq := range due {
			l.enter(flights[seq], "all", seq)
		}
		l.finish()
		if got, faults := l.state(); got != (totals{published: 100, received: 99, checked: 99, lost: 1}) {
			t.Fatalf("got %+v: %q", got, faults)
		}
	}
}
