// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"encoding/json"

	"github.com/gatecast/gatecast/internal/event"
)

// A replayState is the state of a connection that is catching up. A connection without
// a [replay] is live: every event for its gateway is queued as it is delivered.
//
//	        position before the window              position in the window
//	resume ──────────────────────────────┐    ┌───────────────────────────────── resume
//	  │ replay=latest                    │    │
//	  ▼                                  ▼    ▼      everything is queued
//	keyScan ────────────────────────▶ scanning ⇄ inWindow ─────────────────▶ live
//
// In every state all events for the gateway up to conn.queuedSeq have been queued, in
// order and once, and no event after it. Events that are delivered meanwhile are not
// queued for a connection that is not live: it finds them in the window.
type replayState uint8

const (
	// keyScan: the connection notes which event of each key is the newest in the pages
	// of a scan. Left for scanning when replay.keysTo is in the window.
	keyScan replayState = iota
	// scanning: queuedSeq is before the window. The connection is in state.scanWaiters
	// and reads the pages of a scan. Left for inWindow when queuedSeq is in the window.
	scanning
	// inWindow: the connection reads the window as its socket takes events. Left for
	// live when the window has no event after queuedSeq, and for scanning when the
	// window has moved past queuedSeq.
	inWindow
)

// A replay is the state of a connection that is catching up.
type replay struct {
	state replayState
	slot  int32 // in state.scanWaiters; noSlot in the state inWindow
	page  *page // the page that is being read; nil between pages

	// newest maps a key to the sequence of its newest event, as far as noted. Nil
	// unless the gateway asked for the newest only.
	newest map[string]uint64
	keysTo uint64 // in keyScan: newest is complete up to this sequence
}

const (
	noSlot = -1
	// maxKeys is the limit of keys noted for one connection. Events of further keys are
	// all sent.
	maxKeys = 1 << 16
	// replayQueue is how many bytes of a replay are queued for a connection at once.
	// The rest stays in the window or the page until the socket has taken these.
	replayQueue = 256 << 10
	// maxCatchUp is how many events are looked at for a connection at once. Events that
	// a newer one supersedes fill no queue, so replayQueue alone is no limit.
	maxCatchUp = 4096
)

// A Resume is the position of a gateway that reconnects.
type Resume struct {
	// After is the sequence of the last event that the gateway has.
	After uint64
	// Latest leaves out events that have a newer one with the same key.
	Latest bool
	// Oldest is the sequence of the oldest event in the log.
	Oldest uint64
	// Position is the event id that After was taken from, by Lineage. When the shard's
	// lineage is another one by now, the shard checks Position again. A nil Lineage is
	// the shard's.
	Position event.Cursor
	Lineage  Lineage
	// ResyncReason says why the gateway cannot resume from its position. Empty: it can,
	// as far as the caller knows.
	ResyncReason string
}

// The reasons in resync.required: why a gateway cannot resume from its position.
const (
	ResyncUnknown  = "unknown_position" // no log has given out this id
	ResyncEpoch    = "other_epoch"      // the id is of a log that does not exist any more
	ResyncAhead    = "ahead_of_log"     // the log was set back to before this position
	ResyncRetained = "not_retained"     // events after the position have left the log
)

// resyncReason returns why a connection cannot resume from its position, or "".
func (s *state) resyncReason(r *Resume) string {
	if r.ResyncReason == "" && r.Lineage != nil && r.Lineage != s.lineage && !s.lineage.Contains(r.Position) {
		return ResyncAhead
	}
	if r.ResyncReason == "" && r.After < s.window.after && r.After+1 < r.Oldest {
		return ResyncRetained
	}
	return r.ResyncReason
}

// resume starts catching up. Its cost is in appends to send queues.
func (c *conn) resume(from *Resume) (cost int) {
	r := &replay{state: inWindow, slot: noSlot}
	c.out.replay = r
	c.reportStart(true)
	if from.Latest {
		r.newest = make(map[string]uint64)
	}
	switch {
	case c.queuedSeq >= c.s.window.after:
		cost = c.noteKeys(c.s.window, c.queuedSeq)
	case from.Latest:
		r.state, r.keysTo = keyScan, c.queuedSeq
		c.joinScan()
	default:
		r.state = scanning
		c.joinScan()
	}
	return cost + c.catchUp()
}

// joinScan makes the connection wait for a scan.
func (c *conn) joinScan() {
	c.out.replay.slot = c.s.scanWaiters.add(c)
	c.s.cfg.requestScan()
}

// noteKeys notes the newest event of each key in h after a sequence.
func (c *conn) noteKeys(h *history, after uint64) (cost int) {
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

// superseded reports whether a newer event of m's key is sent instead of it.
func (r *replay) superseded(m *Message) bool {
	return r.newest != nil && m.Key != "" && r.newest[m.Key] > m.Cursor.Seq
}

// catchUp queues missed events until the queue is full, or the window or page has no
// more. It is called when the queue has room again, and when there is a new page.
func (c *conn) catchUp() (cost int) {
	g := c.s.gateways[c.gatewayID]
	for c.out.replay != nil && c.hasRoom() {
		if cost == maxCatchUp { // let other connections run
			c.touch()
			break
		}
		r := c.out.replay
		h := c.source()
		if h == nil {
			break
		}
		m := h.next(g, c.queuedSeq)
		if m == nil {
			c.sourceExhausted(h)
			continue
		}
		cost++
		c.queuedSeq = m.Cursor.Seq
		if !r.superseded(m) {
			c.enqueue(m)
			c.s.stats.Replayed.Inc()
		}
	}
	return cost
}

// hasRoom reports whether more missed events can be queued.
func (c *conn) hasRoom() bool { return c.pending() < min(replayQueue, c.s.cfg.SendQueueBytes) }

// source returns the window or page that has the next missed event, or nil if neither
// has it.
func (c *conn) source() *history {
	r := c.out.replay
	switch {
	case r.state == inWindow && c.queuedSeq >= c.s.window.after:
		return c.s.window
	case r.state == inWindow: // the window has moved past the position
		r.state = scanning
		c.joinScan()
	case r.page != nil:
		return r.page.history
	case r.state == scanning: // a scan may have passed while the queue was full
		c.s.cfg.requestScan()
	}
	return nil
}

// sourceExhausted is called when h has no more events for the connection.
func (c *conn) sourceExhausted(h *history) {
	c.queuedSeq = max(c.queuedSeq, h.upTo)
	r := c.out.replay
	if r.state == inWindow {
		c.goLive()
		return
	}
	c.leavePage()
	if c.queuedSeq >= c.s.window.after {
		r.state = inWindow
		c.leaveScan()
	}
}

// goLive ends the replay. The latency of events that it queued is not measured: they
// are late because the gateway was offline.
func (c *conn) goLive() {
	c.out.replay, c.out.replayedTo = nil, c.queuedSeq
}

// stopReplay ends the replay in any state.
func (c *conn) stopReplay() {
	if c.out == nil || c.out.replay == nil {
		return
	}
	c.leavePage()
	c.leaveScan()
	c.goLive()
}

// leaveScan stops waiting for scans.
func (c *conn) leaveScan() {
	if r := c.out.replay; r.slot != noSlot {
		c.s.scanWaiters.remove(r.slot)
		r.slot = noSlot
	}
}

// leavePage stops reading the page. The last reader closes it.
func (c *conn) leavePage() {
	r := c.out.replay
	if p := r.page; p != nil {
		r.page = nil
		p.readers--
		c.s.closePage(p)
	}
}

// readPage starts reading a page, if the page begins at or before the connection's
// position and ends after it.
func (c *conn) readPage(p *page) (cost int) {
	r := c.out.replay
	position := c.position()
	if position < p.after || position >= p.upTo {
		return 1
	}
	switch {
	case p.lost:
		c.resync(ResyncRetained)
	case r.state == keyScan:
		cost = c.noteKeys(p.history, position)
		r.keysTo = p.upTo
		if r.keysTo >= c.s.window.after {
			cost += c.noteKeys(c.s.window, r.keysTo)
			r.state = scanning
		}
	case c.hasRoom():
		r.page = p
		p.readers++
		cost = c.catchUp()
		c.releaseOutbox()
	}
	return cost
}

// releaseOutbox releases the outbox of a live connection that has nothing to send.
func (c *conn) releaseOutbox() {
	if c.out.replay == nil && c.pending() == 0 {
		c.s.pool.put(c.out)
		c.out = nil
	}
}

// position returns the sequence up to which the connection has used a scan.
func (c *conn) position() uint64 {
	if r := c.out.replay; r.state == keyScan {
		return r.keysTo
	}
	return c.queuedSeq
}

// resync tells the gateway that it missed events which cannot be sent any more, and
// continues with the next event.
func (c *conn) resync(reason string) {
	c.stopReplay()
	c.reportProgress()
	c.setPositionToEnd()
	c.reportStart(false)
	m := &Message{Wire: c.transport.Encode(c.resyncText(reason))}
	c.enqueue(m)
	c.out.resync = m
	c.s.stats.Resyncs.Inc()
}

// resyncText returns the JSON of resync.required. Its cursor is where the connection
// continues.
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
