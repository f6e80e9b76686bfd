// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"sync"
)

// A ledger has what was published and not yet been checked against what was
// received. It forgets what every chain is past, so that it does not grow with
// time. Goroutines may share it.
type ledger struct {
	mu       sync.Mutex
	receipts map[string][]uint64 // sequences by audience, in no order
	flying   map[*flight]struct{}
	highest  uint64 // sequence of all receipts
	chains   map[*chain]struct{}
	bound    uint64 // at the last check every chain was past it
	totals   totals
	faults   []string
}

// totals count events, but for published deliveries of them.
type totals struct {
	published  int
	received   int
	checked    int // deliveries that were owed and have come, once and in order
	lost       int
	doubled    int // came again on the same chain
	disordered int // came behind a later one
	foreign    int // were for somebody else, or nobody published them
}

func (t totals) String() string {
	return fmt.Sprintf("%d published, %d received, %d checked: %d lost, %d twice, %d out of order, %d foreign",
		t.published, t.received, t.checked, t.lost, t.doubled, t.disordered, t.foreign)
}

func (t totals) wrong() int { return t.lost + t.doubled + t.disordered + t.foreign }

// maxFaults bounds the faults that are told; the rest is counted.
const maxFaults = 20

func newLedger() *ledger {
	return &ledger{
		receipts: make(map[string][]uint64),
		flying:   make(map[*flight]struct{}),
		chains:   make(map[*chain]struct{}),
	}
}

// A flight is a publish that has no receipt yet. Its event comes behind floor.
type flight struct{ floor uint64 }

// begin is called ahead of a publish.
func (l *ledger) begin() *flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &flight{l.highest}
	l.flying[f] = struct{}{}
	return f
}

// enter enters the receipt of a publish.
func (l *ledger) enter(f *flight, audience string, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.flying, f)
	l.highest = max(l.highest, seq)
	l.receipts[audience] = append(l.receipts[audience], seq)
	l.totals.published++
}

// abandon gives a publish up: nobody knows whether there is an event.
func (l *ledger) abandon(f *flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.flying, f)
}

// horizon returns up to where all receipts are in.
func (l *ledger) horizon() uint64 {
	h := l.highest
	for f := range l.flying {
		h = min(h, f.floor)
	}
	return h
}

// A chain is what one client receives over connections each of which goes on
// where the one before ended. Its fields are its ledger's.
type chain struct {
	l         *ledger
	name      string
	audiences []string
	checked   uint64   // all up to here is checked, or was before the chain
	last      uint64   // the latest event received
	got       []uint64 // behind checked, in order
	history   []string // of its connections, the latest
	retired   bool     // nothing more will come
}

// open begins a chain behind a place in the log.
func (l *ledger) open(name string, audiences []string, start uint64) *chain {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &chain{l: l, name: name, audiences: audiences, checked: start, last: start}
	l.chains[c] = struct{}{}
	return c
}

// take notes an event that was received.
func (c *chain) take(seq uint64) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.l.totals.received++
	at, had := slices.BinarySearch(c.got, seq)
	switch {
	case had || seq <= c.checked:
		c.l.totals.doubled++
		c.fault("event %d came again, behind %d", seq, c.last)
	case seq < c.last:
		c.l.totals.disordered++
		c.fault("event %d came behind %d", seq, c.last)
		c.got = slices.Insert(c.got, at, seq) // it is late and not lost
	default:
		c.got = append(c.got, seq)
		c.last = seq
	}
}

// retire says that nothing more will come.
func (c *chain) retire() {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.retired = true
}

// maxHistory is how many notes of a chain are kept.
const maxHistory = 6

// note keeps what happened to the chain's connection, to be told with a fault.
func (c *chain) note(what string) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if len(c.history) == maxHistory {
		c.history = slices.Delete(c.history, 0, 1)
	}
	c.history = append(c.history, what)
}

// fault tells what is wrong with a chain. The ledger is locked.
func (c *chain) fault(format string, args ...any) {
	if len(c.l.faults) < maxFaults {
		c.l.faults = append(c.l.faults, fmt.Sprintf("%s: %s; its connections: %q", c.name, fmt.Sprintf(format, args...), c.history))
	}
}

// check compares what chains have received with what there are receipts for, as
// far as both are known.
func (l *ledger) check() {
	l.mu.Lock()
	defer l.mu.Unlock()
	horizon := l.horizon()
	bound := horizon
	for c := range l.chains {
		// Events of a chain come in order, so those ahead of its last have come.
		c.checkTo(min(horizon, c.last))
		if c.retired && c.checked == c.last {
			delete(l.chains, c)
			continue
		}
		bound = min(bound, c.checked)
	}
	// Not up to the new bound: a chain that opens now may begin a little before.
	l.forget(l.bound)
	l.bound = bound
}

// finish checks everything: nothing more will be published, and what has not
// come is lost.
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

// settled reports whether every chain has got the last event that it is owed.
func (l *ledger) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.chains {
		if !c.retired && len(l.owed(c, c.last, math.MaxUint64)) > 0 {
			return false
		}
	}
	return true
}

// state returns the totals and the faults up to now.
func (l *ledger) state() (totals, []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals, slices.Clone(l.faults)
}

// owed returns the events that a chain is to get, behind a place and up to
// another, in order.
func (l *ledger) owed(c *chain, behind, upTo uint64) (seqs []uint64) {
	for _, audience := range c.audiences {
		for _, seq := range l.receipts[audience] {
			if seq > behind && seq <= upTo {
				seqs = append(seqs, seq)
			}
		}
	}
	slices.Sort(seqs)
	return seqs
}

// checkTo compares up to a place, if the chain is not there yet.
func (c *chain) checkTo(place uint64) {
	if place <= c.checked {
		return
	}
	owed := c.l.owed(c, c.checked, place)
	n, exact := slices.BinarySearch(c.got, place)
	if exact {
		n++
	}
	lost, foreign := difference(owed, c.got[:n]), difference(c.got[:n], owed)
	if len(lost) > 0 {
		c.l.totals.lost += len(lost)
		c.fault("events %v did not come; the last to come is %d", lost[:min(len(lost), maxFaults)], c.last)
	}
	if len(foreign) > 0 {
		c.l.totals.foreign += len(foreign)
		c.fault("events %v came and were not for it", foreign[:min(len(foreign), maxFaults)])
	}
	c.l.totals.checked += n - len(foreign)
	c.got = append(c.got[:0], c.got[n:]...)
	c.checked = place
}

// difference returns what is in a and not in b, both in order.
func difference(a, b []uint64) (only []uint64) {
	for _, v := range a {
		if _, ok := slices.BinarySearch(b, v); !ok {
			only = append(only, v)
		}
	}
	return only
}

// forget drops receipts up to a place.
func (l *ledger) forget(place uint64) {
	for audience, seqs := range l.receipts {
		seqs = slices.DeleteFunc(seqs, func(seq uint64) bool { return seq <= place })
		if len(seqs) == 0 {
			delete(l.receipts, audience)
			continue
		}
		l.receipts[audience] = seqs
	}
}
