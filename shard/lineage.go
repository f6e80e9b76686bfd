// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"math"

	"github.com/gatecast/gatecast/internal/event"
)

// A Lineage maps sequences of the log to epochs: it is the log's history. It is
// immutable. A log that is set back, by a restored backup for one, gets another
// lineage.
type Lineage interface {
	Epoch() uint64 // the newest epoch
	CursorOf(seq uint64) event.Cursor
	// Contains reports whether an event id is of this history.
	Contains(event.Cursor) bool
	// Clamp returns the sequence of an event id, or the sequence that the history was
	// set back to before it. ok is false for an epoch that the history does not know.
	Clamp(event.Cursor) (seq uint64, ok bool)
}

// A oneEpoch is the lineage of a log that was never set back.
type oneEpoch uint64

func (e oneEpoch) Epoch() uint64                    { return uint64(e) }
func (e oneEpoch) CursorOf(seq uint64) event.Cursor { return event.Cursor{Epoch: uint64(e), Seq: seq} }
func (e oneEpoch) Contains(c event.Cursor) bool     { return c.Epoch == uint64(e) }

func (e oneEpoch) Clamp(c event.Cursor) (uint64, bool) { return c.Seq, e.Contains(c) }

// allCommon is the common part of lineages that differ for future events only.
const allCommon = math.MaxUint64

// SetLineage says that the log has another lineage, which is the same as the old one up
// to the sequence common. Later events are dropped from memory, and dispatched again;
// connections with a later position get resync.required and continue from common.
// Dispatcher only, as Dispatch.
func (r *Router) SetLineage(to Lineage, common uint64) {
	r.lineage.Store(&to)
	r.dispatched = min(r.dispatched, common)
	// Before posting: a shard that takes the command must not believe that it is at a
	// later position.
	r.position.Store(min(r.position.Load(), common))
	for _, sh := range r.shards {
		sh.post(command{do: func(s *state) { s.setLineage(to, common) }})
	}
}

// setLineage changes to another lineage in one command, so that no progress of one
// history is reported as the other's.
func (s *state) setLineage(to Lineage, common uint64) {
	s.reportProgress() // of the old history
	s.sendReport()
	s.lineage, s.oldLineage = to, s.lineage
	if common == allCommon {
		return
	}
	if s.window.upTo > common {
		s.window = newHistory(common)
	}
	s.appliedSeq, s.pendingTo, s.barrier = min(s.appliedSeq, common), min(s.pendingTo, common), min(s.barrier, common)
	for _, c := range s.conns.items {
		if c != nil && c.state == open {
			c.rewind(common)
		}
	}
}

// rewind sets a connection back to common, if it is at a later position.
func (c *conn) rewind(common uint64) {
	c.s.gateways[c.gatewayID].lowerBarriers(common)
	if c.queuedSeq > common {
		c.resync(c.lostReason())
	} else if c.out != nil && c.out.replay != nil {
		c.restartReplay()
	}
}

// lostReason returns why a connection's position does not exist any more.
func (c *conn) lostReason() string {
	if _, known := c.s.lineage.Clamp(c.s.oldLineage.CursorOf(c.queuedSeq)); !known {
		return ResyncEpoch
	}
	return ResyncAhead
}

// lowerBarriers lowers the gateway's barriers to common: events after it were published
// after the barriers were set.
func (g *gateway) lowerBarriers(common uint64) {
	g.own, g.all, g.first = min(g.own, common), min(g.all, common), min(g.first, common)
	for i := range g.sets {
		g.sets[i].barrier = min(g.sets[i].barrier, common)
	}
}

// restartReplay restarts a replay at its position: the rest is read from the new
// history.
func (c *conn) restartReplay() {
	r := c.out.replay
	c.leavePage()
	if r.newest != nil { // newest may name events that do not exist any more
		clear(r.newest)
		r.state, r.keysTo = keyScan, c.queuedSeq
	}
	if r.slot == noSlot && (r.state == keyScan || c.queuedSeq < c.s.window.after) {
		if r.state == inWindow {
			r.state = scanning
		}
		c.joinScan()
		return
	}
	if r.slot != noSlot {
		c.s.cfg.requestScan()
	}
	c.touch()
}
