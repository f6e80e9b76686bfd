// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"sync"
)

// A ledger compares what was published with what was received. It drops what all chains have
// passed, so that it does not grow. Goroutines can share it.
type ledger struct {
	mu       sync.Mutex
	receipts map[string][]uint64 // sequences by audience, unordered
	flying   map[*flight]struct{}
	highest  uint64 // highest sequence of all receipts
	chains   map[*chain]struct{}
	bound    uint64 // position that all chains had passed at the last check
	totals   totals
	faults   []string
}

// totals are numbers of deliveries; only published is a number of events.
type totals struct {
	published  int
	received   int
	checked    int // expected deliveries that arrived once and in order
	lost       int
	doubled    int // arrived twice on the same chain
	disordered int // arrived after a later event
	foreign    int // for another gateway, or not published
}

func (t totals) String() string {
	return fmt.Sprintf("%d published, %d received, %d checked: %d lost, %d twice, %d out of order, %d foreign",
		t.published, t.received, t.checked, t.lost, t.doubled, t.disordered, t.foreign)
}

func (t totals) wrong() int { return t.lost + t.doubled + t.disordered + t.foreign }

// maxFaults is the number of faults that are reported; more are only counted.
const maxFaults = 20

func newLedger() *ledger {
	return &ledger{
		receipts: make(map[string][]uint64),
		flying:   make(map[*flight]struct{}),
		chains:   make(map[*chain]struct{}),
	}
}

// A flight is a publish without a receipt yet. Its event has a sequence after floor.
type flight struct{ floor uint64 }

// begin starts a publish.
func (l *ledger) begin() *flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &flight{l.highest}
	l.flying[f] = struct{}{}
	return f
}

// enter adds the receipt of a publish.
func (l *ledger) enter(f *flight, audience string, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.flying, f)
	l.highest = max(l.highest, seq)
	l.receipts[audience] = append(l.receipts[audience], seq)
	l.totals.published++
}

// abandon ends a publish without a receipt: its event may exist or not.
func (l *ledger) abandon(f *flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.flying, f)
}

// horizon returns the sequence up to which all receipts are known.
func (l *ledger) horizon() uint64 {
	h := l.highest
	for f := range l.flying {
		h = min(h, f.floor)
	}
	return h
}

// A chain is what one client receives over several connections, each of which resumes after the one
// before. Its fields belong to its ledger.
type chain struct {
	l         *ledger
	name      string
	audiences []string
	checked   uint64   // sequence up to which everything was checked
	last      uint64   // sequence of the newest event received
	got       []uint64 // sequences after checked, in order
	history   []string // of its connections, the newest notes
	retired   bool     // no more events follow
}

// open starts a chain at a position of the log.
func (l *ledger) open(name string, audiences []string, start uint64) *chain {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &chain{l: l, name: name, audiences: audiences, checked: start, last: start}
	l.chains[c] = struct{}{}
	return c
}

// take records a received event.
func (c *chain) take(seq uint64) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.l.totals.received++
	at, had := slices.BinarySearch(c.got, seq)
	switch {
	case had || seq <= c.checked:
		c.l.totals.doubled++
		c.fault("event %d is a duplicate, after event %d", seq, c.last)
	case seq < c.last:
		c.l.totals.disordered++
		c.fault("event %d arrived after event %d", seq, c.last)
		c.got = slices.Insert(c.got, at, seq) // it is late, but not lost
	default:
		c.got = append(c.got, seq)
		c.last = seq
	}
}

// retire ends the chain: no more events follow.
func (c *chain) retire() {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.retired = true
}

// maxHistory is the number of notes of a chain.
const maxHistory = 6

// note records what happened to the chain's connection, for the report of a fault.
func (c *chain) note(what string) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if len(c.history) == maxHistory {
		c.history = slices.Delete(c.history, 0, 1)
	}
	c.history = append(c.history, what)
}

// fault reports a fault of the chain. The ledger is locked.
func (c *chain) fault(format string, args ...any) {
	if len(c.l.faults) < maxFaults {
		c.l.faults = append(c.l.faults, fmt.Sprintf("%s: %s; its connections: %q", c.name, fmt.Sprintf(format, args...), c.history))
	}
}

// check compares the received events with the receipts, as far as both are complete.
func (l *ledger) check() {
	l.mu.Lock()
	defer l.mu.Unlock()
	horizon := l.horizon()
	bound := horizon
	for c := range l.chains {
		// A chain receives events in order, so all events before its last one have arrived.
		c.checkTo(min(horizon, c.last))
		if c.retired && c.checked == c.last {
			delete(l.chains, c)
			continue
		}
		bound = min(bound, c.checked)
	}
	// Not up to the new bound: a chain that opens now can begin slightly before it.
	l.forget(l.bound)
	l.bound = bound
}

// finish checks everything. No more events are published, and what has not arrived is lost.
func (l *ledger) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.chains {
		if c.retired {
			c.checkTo(c.last)
		} else {
			c.checkTo(math.MaxUint64)
		}
	}
	clear(l.chains)
}

// settled reports whether each chain has received the last event expected on it.
func (l *ledger) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.chains {
		if !c.retired && len(l.expected(c, c.last, math.MaxUint64)) > 0 {
			return false
		}
	}
	return true
}

// state returns the totals and faults so far.
func (l *ledger) state() (totals, []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals, slices.Clone(l.faults)
}

// expected returns, in order, the events after one position and up to another that a chain must
// receive.
func (l *ledger) expected(c *chain, after, upTo uint64) (seqs []uint64) {
	for _, audience := range c.audiences {
		for _, seq := range l.receipts[audience] {
			if seq > after && seq <= upTo {
				seqs = append(seqs, seq)
			}
		}
	}
	slices.Sort(seqs)
	return seqs
}

// checkTo compares up to a position, unless the chain has passed it.
func (c *chain) checkTo(position uint64) {
	if position <= c.checked {
		return
	}
	owed := c.l.expected(c, c.checked, position)
	n, exact := slices.BinarySearch(c.got, position)
	if exact {
		n++
	}
	lost, foreign := difference(owed, c.got[:n]), difference(c.got[:n], owed)
	if len(lost) > 0 {
		c.l.totals.lost += len(lost)
		c.fault("events %v were not received; the last to come is %d", lost[:min(len(lost), maxFaults)], c.last)
	}
	if len(foreign) > 0 {
		c.l.totals.foreign += len(foreign)
		c.fault("events %v were for another gateway", foreign[:min(len(foreign), maxFaults)])
	}
	c.l.totals.checked += n - len(foreign)
	c.got = append(c.got[:0], c.got[n:]...)
	c.checked = position
}

// difference returns the elements of a that are not in b. Both are sorted.
func difference(a, b []uint64) (only []uint64) {
	for _, v := range a {
		if _, ok := slices.BinarySearch(b, v); !ok {
			only = append(only, v)
		}
	}
	return only
}

// forget drops receipts up to a position.
func (l *ledger) forget(position uint64) {
	for audience, seqs := range l.receipts {
		seqs = slices.DeleteFunc(seqs, func(seq uint64) bool { return seq <= position })
		if len(seqs) == 0 {
			delete(l.receipts, audience)
			continue
		}
		l.receipts[audience] = seqs
	}
}
