// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"encoding/json"

	"github.com/gatecast/gatecast/internal/event"
)

// A replayState is how far a connection that resumes has come. A connection
// without a [replay] is live: every event for its gateway is queued as it is
// delivered.
//
//	        the place is behind the window          the place is in the window
//	resume ──────────────────────────────┐    ┌───────────────────────────────── resume
//	  │ only the newest of each key      │    │
//	  ▼                                  ▼    ▼      everything is queued
//	surveying ──────────────────────▶ scanning ⇄ windowed ─────────────────▶ live
//
// Whatever its state, conn.pos says which events are settled: all for the
// gateway up to it have been queued, in order and once, and none behind it.
// Events that are delivered meanwhile are not queued for a connection that is not
// live; they are in the window, where it will come to them.
type replayState uint8

const (
	// surveying: a scan passes by, and of what it carries the connection notes
	// only which event of each key is the newest. Left for scanning when
	// replay.noted is inside the window.
	surveying replayState = iota
	// scanning: pos is before what the window holds. The connection is in
	// state.behind, and pages of a scan carry it on. Left for windowed when pos
	// is inside the window.
	scanning
	// windowed: events are taken from the window, as the socket takes them. Left
	// for live when there is none behind pos, and for scanning when the window
	// has moved past pos.
	windowed
)

// A replay is what a connection needs while it catches up.
type replay struct {
	state replayState
	slot  int32 // in state.behind; noSlot while windowed
	page  *page // that events are being taken from; nil between pages

	// newest is the place of the newest event of each key, as far as it was
	// noted; nil unless only the newest are wanted.
	newest map[string]uint64
	noted  uint64 // surveying: the place up to which newest is known
}

const (
	noSlot = -1
	// maxKeys bounds the keys that are told apart for one connection. Events of
	// more keys are sent in full.
	maxKeys = 1 << 16
	// replayQueue is how many bytes of what was missed are queued for a
	// connection at once. The rest waits where it is until the socket has taken
	// these.
	replayQueue = 256 << 10
	// maxCatchUp is how many events are looked at for a connection at once. Of those
	// that are left out nothing is queued.
	maxCatchUp = 4096
)

// A Resume says where a connection was, and so which events it has missed.
type Resume struct {
	// After is the sequence of the last event that it has.
	After uint64
	// Latest leaves out events for which there is a newer one of the same key.
	Latest bool
	// Oldest is the sequence of the oldest event that the log has.
	Oldest uint64
	// Position is what After is the sequence of in the lineage In: where that is not the
	// shard's any more, the shard asks its own. A nil In is.
	Position event.Cursor
	Lineage  Lineage
	// Resync says why the place is none to go on from; empty when it may be one.
	ResyncReason string
}

// Why a connection cannot go on from where it was: the "reason" of
// resync.required.
const (
	ResyncUnknown  = "unknown_position" // not an id that a log has given out
	ResyncEpoch    = "other_epoch"      // an id of a log that is no more
	ResyncAhead    = "ahead_of_log"     // the log has lost what it once had
	ResyncRetained = "not_retained"     // events behind it have left the log
)

// resyncReason returns why a connection cannot go on from where it was, or "".
func (s *state) resyncReason(r *Resume) string {
	if r.ResyncReason == "" && r.Lineage != nil && r.Lineage != s.lineage && !s.lineage.Contains(r.Position) {
		return ResyncAhead
	}
	if r.ResyncReason == "" && r.After < s.window.after && r.After+1 < r.Oldest {
		return ResyncRetained
	}
	return r.ResyncReason
}

// resume begins to catch up. It returns what that cost, in appends.
func (c *conn) resume(from *Resume) (cost int) {
	r := &replay{state: windowed, slot: noSlot}
	c.out.replay = r
	c.began(true)
	if from.Latest {
		r.newest = make(map[string]uint64)
	}
	switch {
	case c.pos >= c.s.window.after:
		cost = c.note(c.s.window, c.pos)
	case from.Latest:
		r.state, r.noted = surveying, c.pos
		c.fallBehind()
	default:
		r.state = scanning
		c.fallBehind()
	}
	return cost + c.catchUp()
}

// fallBehind asks for a scan.
func (c *conn) fallBehind() {
	c.out.replay.slot = c.s.behind.add(c)
	c.s.cfg.requestScan()
}

// note notes the newest event of each key in h behind a place.
func (c *conn) note(h *history, after uint64) (cost int) {
	r := c.out.replay
	if r.newest == nil {
		return 0
	}
	h.each(c.s.gateways[c.gatewayID], after, func(m *Message) {
		cost++
		newest, known := r.newest[m.Key]
		if m.Key != "" && (known || len(r.newest) < maxKeys) {
			r.newest[m.Key] = max(newest, m.Cursor.Seq)
		}
	})
	return cost
}

// superseded reports whether a newer event of m's key is wanted in its place.
func (r *replay) superseded(m *Message) bool {
	return r.newest != nil && m.Key != "" && r.newest[m.Key] > m.Cursor.Seq
}

// catchUp queues what the connection has missed, until enough is queued or there
// is no more of it at hand. It is called when the queue has room again, and when
// there is more at hand.
func (c *conn) catchUp() (cost int) {
	g := c.s.gateways[c.gatewayID]
	for c.out.replay != nil && c.hasRoom() {
		if cost == maxCatchUp { // others first
			c.touch()
			break
		}
		r := c.out.replay
		h := c.source()
		if h == nil {
			break
		}
		m := h.next(g, c.pos)
		if m == nil {
			c.exhausted(h)
			continue
		}
		cost++
		c.pos = m.Cursor.Seq
		if !r.superseded(m) {
			c.enqueue(m)
			c.s.stats.Replayed.Inc()
		}
	}
	return cost
}

// hasRoom reports whether more of what was missed may be queued.
func (c *conn) hasRoom() bool { return c.pending() < min(replayQueue, c.s.cfg.SendQueueBytes) }

// source returns what the next missed event is in, or nil when that is not at
// hand.
func (c *conn) source() *history {
	r := c.out.replay
	switch {
	case r.state == windowed && c.pos >= c.s.window.after:
		return c.s.window
	case r.state == windowed: // the window has moved on
		r.state = scanning
		c.fallBehind()
	case r.page != nil:
		return r.page.history
	case r.state == scanning: // a scan may have passed while there was no room
		c.s.cfg.requestScan()
	}
	return nil
}

// exhausted goes on when h has no more for the connection.
func (c *conn) exhausted(h *history) {
	c.pos = max(c.pos, h.upTo)
	r := c.out.replay
	if r.state == windowed {
		c.goLive()
		return
	}
	c.leavePage()
	if c.pos >= c.s.window.after {
		r.state = windowed
		c.leaveBehind()
	}
}

// goLive ends the replay. The events it has queued are not measured: they are
// late because the gateway was away.
func (c *conn) goLive() {
	c.out.replay, c.out.replayed = nil, c.pos
}

// stopReplay ends it wherever it is.
func (c *conn) stopReplay() {
	if c.out == nil || c.out.replay == nil {
		return
	}
	c.leavePage()
	c.leaveBehind()
	c.goLive()
}

func (c *conn) leaveBehind() {
	if r := c.out.replay; r.slot != noSlot {
		c.s.behind.remove(r.slot)
		r.slot = noSlot
	}
}

func (c *conn) leavePage() {
	r := c.out.replay
	if p := r.page; p != nil {
		r.page = nil
		p.readers--
		c.s.closePage(p)
	}
}

// read begins to take events from a page, if the connection has everything
// before it and not all that is in it.
func (c *conn) read(p *page) (cost int) {
	r := c.out.replay
	place := c.place()
	if place < p.after || place >= p.upTo {
		return 1
	}
	switch {
	case p.lost:
		c.resync(ResyncRetained)
	case r.state == surveying:
		cost = c.note(p.history, place)
		r.noted = p.upTo
		if r.noted >= c.s.window.after {
			cost += c.note(c.s.window, r.noted)
			r.state = scanning
		}
	case c.hasRoom():
		r.page = p
		p.readers++
		cost = c.catchUp()
		c.rest()
	}
	return cost
}

// rest lets go of the outbox of a connection that is live and has nothing to send.
func (c *conn) rest() {
	if c.out.replay == nil && c.pending() == 0 {
		c.s.pool.put(c.out)
		c.out = nil
	}
}

// place returns the place up to which a scan has been of use to the connection.
func (c *conn) place() uint64 {
	if r := c.out.replay; r.state == surveying {
		return r.noted
	}
	return c.pos
}

// resync tells the gateway that it has missed events which nobody can send it
// any more, and goes on with what comes from here on.
func (c *conn) resync(reason string) {
	c.stopReplay()
	c.tellProgress()
	c.startAtEnd()
	c.began(false)
	m := &Message{Wire: c.transport.Encode(c.resyncText(reason))}
	c.enqueue(m)
	c.out.resync = m
	c.s.stats.Resyncs.Inc()
}

func (c *conn) resyncText(reason string) []byte {
	b, err := json.Marshal(struct {
		Type   string       `json:"type"`
		Reason string       `json:"reason"`
		Cursor event.Cursor `json:"cursor"`
	}{"resync.required", reason, c.cursor()})
	if err != nil {
		panic("BUG: a resync does not marshal: " + err.Error())
	}
	return b
}
