// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/stats"
)

// Limits of the work of one turn. A flush of a connection is one or two system calls;
// an append takes 20 to 130 ns, depending on how many connections miss the cache.
const (
	maxAppends    = 65536     // to send queues
	maxGather     = 4         // turns that only append, before connections are written
	maxFlushes    = 512       // connections written
	maxFlushBytes = 256 << 10 // written to one connection
	maxFlushParts = 512       // slices in one write
)

// tick is the interval of the wheel. Pings and deadlines are late by up to one tick.
const tick = 100 * time.Millisecond

// poolTrimEvery is how often unused outboxes of the pool are released.
const poolTrimEvery = 10 * time.Second

// stoppedFor is the time without a tick after which the loop itself must have been
// stopped, as by SIGSTOP. The peers' silence in that time does not count.
const stoppedFor = 2 * time.Second

// A state is everything that a shard has. It is owned by the shard's loop; no other
// goroutine uses it. [shard] is the part for other goroutines.
type state struct {
	// Constant after start.
	cfg         Config
	index       int          // of the shard
	loop        *poller.Loop // nil in tests without a network
	ring        func()       // asks for another turn
	clock       func() time.Time
	base        time.Time    // instant 0
	stats       *stats.Shard // written here, read by anyone
	windowBytes int          // limit of the window

	// Gateways and their connections.
	gateways      map[string]*gateway
	groups        map[string]*slots[gateway]
	organizations map[string]*slots[gateway]
	conns         slots[conn] // every connection until its descriptor is closed
	stopped       bool        // no connection is taken any more
	drain         *drainPlan  // nil until the node drains

	// The log, as far as the shard has come.
	appliedSeq  uint64      // every event up to this one is in its send queues
	barrier     uint64      // no gateway has, or had, a higher one
	lineage     Lineage     // of the log
	oldLineage  Lineage     // before the last setLineage
	window      *history    // the newest events
	scanWaiters slots[conn] // open connections whose position is before the window

	// Time. See wheel.go.
	wheel      wheel
	now        instant // of this turn, tick or readiness event
	lastTick   instant
	resumedAt  instant       // when the loop last ran again after it was stopped
	wallOffset time.Duration // by how much the wall clock was set since base

	// Commands.
	pending   []command // taken from the inbox, oldest first
	next      int       // pending[:next] are applied
	fanOutPos int       // slots that pending[next] has reached, if it is for many
	applied   int64     // weight of the commands applied since the loop last asked
	pendingTo uint64    // the newest event that was posted when pending was taken

	// Flushing.
	dirty       []*conn // to be flushed, each once
	flushedTo   int     // dirty[:flushedTo] are flushed
	inTurn      bool    // a turn is running, and will flush what is touched
	appendTurns int     // turns that only appended since all was flushed
	pool        outboxPool
	trimDue     instant  // when the pool is trimmed next
	vec         [][]byte // scratch for flush

	// Reporting. See report.go.
	withProgress []*conn // have written events that were not reported
	report       Report  // to be sent
	reportDue    instant // when progress is reported next
}

// newState returns the state of a shard without gateways. ring and clock are the
// test's where there is no loop.
func newState(cfg Config, index int, counts *stats.Shard, ring func(), clock func() time.Time) *state {
	return &state{
		cfg: cfg, index: index, ring: ring, clock: clock, base: clock(), stats: counts,
		gateways:      make(map[string]*gateway),
		groups:        make(map[string]*slots[gateway]),
		organizations: make(map[string]*slots[gateway]),
		wheel:         wheel{tick: tick},
		appliedSeq:    cfg.Start.Seq,
		pendingTo:     cfg.Start.Seq,
		lineage:       cfg.Lineage,
		oldLineage:    cfg.Lineage,
		window:        newHistory(cfg.Start.Seq),

		windowBytes: cfg.ReplayMemory / cfg.Shards,
	}
}

// setNow sets the time for everything that runs until the next call.
func (s *state) setNow(t time.Time) { s.now = instant(t.Sub(s.base)) }

// timeOf and instantOf convert between the two forms of a time.
func (s *state) timeOf(t instant) time.Time    { return s.base.Add(time.Duration(t)) }
func (s *state) instantOf(t time.Time) instant { return instant(t.Sub(s.base)) }

// wallJump is by how much the wall clock must be set before times follow it. The two
// clocks are read within less.
const wallJump = time.Second

// wall returns the wall clock time of an instant. It returns the same time for the same
// instant, unless the clock was set.
func (s *state) wall(t instant) time.Time {
	now := s.clock()
	by := now.Round(0).Sub(s.base.Round(0)) - now.Sub(s.base) // Round strips the monotonic clock
	if d := by - s.wallOffset; d > wallJump || d < -wallJump {
		s.wallOffset = by
	}
	return s.timeOf(t).Add(s.wallOffset)
}

// readClock sets the time for a call that does not bring it.
func (s *state) readClock() { s.setNow(s.clock()) }

// turn applies pending commands and flushes the connections that they touched, both
// within limits. It reports whether work is left.
//
// While there is more to append, nothing is written: a burst to many connections then
// goes out in one write per connection and not in one per event. After maxGather such
// turns connections are written, until all are; those that wait for it gather what
// comes meanwhile.
func (s *state) turn(t time.Time) (again bool) {
	s.setNow(t)
	s.inTurn = true
	defer func() { s.inTurn = false }()
	s.applyPending()
	s.sendReport()
	if left := s.next < len(s.pending); left && s.appendTurns < maxGather {
		s.appendTurns++
		return true
	}
	s.appendTurns = maxGather
	if s.flushDirty(); len(s.dirty) == 0 {
		s.appendTurns = 0
	}
	return s.next < len(s.pending) || s.flushedTo < len(s.dirty)
}

// applyPending applies pending commands in order, up to maxAppends of work.
func (s *state) applyPending() {
	for budget := maxAppends; budget > 0 && s.next < len(s.pending); {
		cost, done := s.apply(&s.pending[s.next], budget)
		budget -= max(cost, 1)
		if !done {
			return
		}
		s.applied += s.pending[s.next].weight()
		s.pending[s.next] = command{}
		s.next++
	}
	if s.next == len(s.pending) {
		s.pending, s.next = s.pending[:0], 0
		s.appliedSeq = max(s.appliedSeq, s.pendingTo)
	}
}

// flushDirty flushes connections that were touched, up to maxFlushes.
func (s *state) flushDirty() {
	stop := min(len(s.dirty), s.flushedTo+maxFlushes)
	for ; s.flushedTo < stop; s.flushedTo++ {
		c := s.dirty[s.flushedTo]
		s.dirty[s.flushedTo] = nil
		c.dirty = false
		if c.state != closed && !c.blocked && c.out != nil {
			c.flush()
		}
	}
	if s.flushedTo == len(s.dirty) {
		s.dirty, s.flushedTo = s.dirty[:0], 0
	}
}

// tick advances the wheel and the drain, sends the progress report and updates gauges.
func (s *state) tick(t time.Time) {
	s.setNow(t)
	if s.now-s.lastTick > instant(stoppedFor) {
		s.resumedAt = s.now
	}
	s.lastTick = s.now
	s.wheel.advance(s.now, (*conn).expire)
	if s.now >= s.trimDue {
		s.trimDue = s.now.add(poolTrimEvery)
		s.pool.trim()
	}
	if s.now >= s.reportDue {
		s.reportDue = s.now.add(reportEvery)
		s.reportProgress()
	}
	s.stats.WindowBytes.Set(int64(s.window.bytes))
	s.stats.WindowEvents.Set(int64(s.window.len()))
	s.stats.ReplaysWaiting.Set(int64(s.scanWaiters.len()))
	if s.drain != nil {
		s.drain.step(s)
	}
}

// stop closes every connection without a close frame, and reports their progress. The
// shard takes no connection after it.
func (s *state) stop() {
	s.stopped = true
	for _, c := range s.conns.items {
		if c != nil {
			c.finish(event.Shutdown, "")
		}
	}
	s.reportProgress()
	s.sendReport()
}

// deliveryFailed counts and reports deliveries that failed.
func (s *state) deliveryFailed(why event.FailureReason, n Notice) {
	n.Kind, n.Failure, n.At = DeliveryFailed, why, s.clock()
	s.stats.Fail(why, len(n.Messages), n.At)
	s.cfg.Notify(n)
}
