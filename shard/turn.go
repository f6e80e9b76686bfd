// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"math"

	"github.com/gatecast/gatecast/internal/event"
)

// A Lineage names the sequences of the log's present history. It does not change.
type Lineage interface {
	Epoch() uint64 // the newest
	CursorOf(seq uint64) event.Cursor
	// Contains reports whether a position is one of this history's.
	Contains(event.Cursor) bool
	// Clamp returns the sequence of a position, or the one that the history went back to
	// before it; false for an epoch that it does not know.
	Clamp(event.Cursor) (seq uint64, ok bool)
}

// oneEpoch is the lineage of a log that has never gone back.
type oneEpoch uint64

func (e oneEpoch) Epoch() uint64                    { return uint64(e) }
func (e oneEpoch) CursorOf(seq uint64) event.Cursor { return event.Cursor{Epoch: uint64(e), Seq: seq} }
func (e oneEpoch) Contains(c event.Cursor) bool     { return c.Epoch == uint64(e) }

func (e oneEpoch) Clamp(c event.Cursor) (uint64, bool) { return c.Seq, e.Contains(c) }

// everything is the common part of histories that only name what is to come otherwise.
const everything = math.MaxUint64

// SetLineage says that the log has another lineage, which has in common with the one before what
// stands up to a sequence. Events after that are forgotten, and come again; connections
// that have come further are told to resync, and go on from there. It is the
// dispatcher's, as Dispatch is.
func (r *Router) SetLineage(to Lineage, common uint64) {
	r.lineage.Store(&to)
	r.at = min(r.at, common)
	// First: a shard that takes the command must not take it for having come further.
	r.position.Store(min(r.position.Load(), common))
	for _, sh := range r.shards {
		sh.post(command{do: func(s *state) { s.turnTo(to, common) }})
	}
}

// turnTo goes over to another lineage. It is done at once, so that no progress of one
// history is reported as the other's.
func (s *state) turnTo(to Lineage, common uint64) {
	s.tellProgress() // of the history that was
	s.tell()
	s.lineage, s.before = to, s.lineage
	if common == everything {
		return
	}
	if s.window.upTo > common {
		s.window = newHistory(common)
	}
	s.seq, s.upTo, s.barrier = min(s.seq, common), min(s.upTo, common), min(s.barrier, common)
	for _, c := range s.conns.items {
		if c != nil && c.state == open {
			c.turn(common)
		}
	}
}

// turn takes a connection back to what is common, if it has come further.
func (c *conn) turn(common uint64) {
	c.s.gateways[c.gatewayID].turn(common)
	if c.pos > common {
		c.resync(c.lostReason())
	} else if c.out != nil && c.out.replay != nil {
		c.replayAgain()
	}
}

// lostReason says why a connection's position is no more.
func (c *conn) lostReason() string {
	if _, known := c.s.lineage.Clamp(c.s.before.CursorOf(c.pos)); !known {
		return ResyncEpoch
	}
	return ResyncAhead
}

// turn lowers the gateway's barriers: what comes after the common part was published
// after they were set.
func (g *gateway) turn(common uint64) {
	g.own, g.all, g.first = min(g.own, common), min(g.all, common), min(g.first, common)
	for i := range g.groups {
		g.groups[i].barrier = min(g.groups[i].barrier, common)
	}
}

// replayAgain begins a replay again where it stands: what is to come of it is read from
// the history that the log has now.
func (c *conn) replayAgain() {
	r := c.out.replay
	c.leavePage()
	if r.newest != nil { // it may know of events that are no more
		clear(r.newest)
		r.state, r.noted = surveying, c.pos
	}
	if r.slot == noSlot && (r.state == surveying || c.pos < c.s.window.after) {
		if r.state == windowed {
			r.state = scanning
		}
		c.fallBehind()
		return
	}
	if r.slot != noSlot {
		c.s.cfg.requestScan()
	}
	c.touch()
}
