// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// publish publishes events, in order.
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
		got  []uint64 // of 11 to it, 12 to its group, 13 to another, 14 to all
		want totals
		says string
	}{
		"all":            {got: []uint64{11, 12, 14}, want: totals{received: 3, checked: 3}},
		"one is missing": {got: []uint64{11, 14}, want: totals{received: 2, checked: 2, lost: 1}, says: "events [12] did not come"},
		"the end is":     {got: []uint64{11}, want: totals{received: 1, checked: 1, lost: 2}, says: "events [12 14] did not come"},
		"nothing came":   {want: totals{lost: 3}, says: "events [11 12 14] did not come"},
		"one twice":      {got: []uint64{11, 12, 12, 14}, want: totals{received: 4, checked: 3, doubled: 1}, says: "event 12 came again"},
		"one late again": {got: []uint64{11, 12, 14, 11}, want: totals{received: 4, checked: 3, doubled: 1}, says: "event 11 came again, behind 14"},
		"turned":         {got: []uint64{11, 14, 12}, want: totals{received: 3, checked: 3, disordered: 1}, says: "event 12 came behind 14"},
		"another's":      {got: []uint64{11, 12, 13, 14}, want: totals{received: 4, checked: 3, foreign: 1}, says: "events [13] came and were not for it"},
		"from before":    {got: []uint64{9, 11, 12, 14}, want: totals{received: 4, checked: 3, doubled: 1}, says: "event 9 came again"},
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
			if test.says == "" && len(faults) > 0 || !strings.Contains(strings.Join(faults, "\n"), test.says) {
				t.Errorf("faults %q, want %q", faults, test.says)
			}
		})
	}
}

// What has no receipt yet is not foreign, and what is behind the last event of a
// chain is not lost yet.
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
		t.Errorf("with event 3 under way: %+v", got)
	}
	if l.settled() {
		t.Error("settled without event 3")
	}
	c.take(3)
	if !l.settled() {
		t.Error("not settled with all events")
	}
}

// A chain that has left is owed nothing behind its last event.
func TestLedgerRetired(t *testing.T) {
	l := newLedger()
	whole, broken := l.open("whole", []string{"all"}, 0), l.open("broken", []string{"all"}, 0)
	l.publish("all", 1, 2, 3, 4)
	whole.takeAll(1, 2)
	broken.takeAll(1, 3)
	whole.retire()
	broken.retire()
	if !l.settled() {
		t.Error("not settled, with nobody to wait for")
	}
	l.check()
	if len(l.chains) > 0 {
		t.Errorf("%d retired chains are kept", len(l.chains))
	}
	if got, _ := l.state(); got.lost != 1 || got.checked != 4 {
		t.Errorf("got %+v, want event 2 lost once", got)
	}
}

// However long it goes on, the ledger holds what is between two checks only.
func TestLedgerForgets(t *testing.T) {
	l := newLedger()
	slow, fast := l.open("slow", []string{"all"}, 0), l.open("fast", []string{"all"}, 0)
	const round = 100
	for first := uint64(1); first < 50*round; first += round {
		for seq := first; seq < first+round; seq++ {
			l.publish("all", seq)
			fast.take(seq)
			if seq > round { // a round behind
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

// Receipts of publishes at the same time come in any order; what the checks find
// does not depend on it, nor on when they are made.
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
