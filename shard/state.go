// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"slices"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/stats"
)

// Bounds on the work of one turn. A connection's flush is a system call or two;
// an append is 20 to 130 ns, by how many connections there are to miss the cache.
const (
	maxAppends    = 65536     // to send queues
	maxGather     = 4         // turns that only append, before connections are written
	maxFlushes    = 512       // connections written
	maxFlushBytes = 256 << 10 // written to one connection
	maxFlushParts = 512       // slices in one write
)

// The wheel's tick. Pings and deadlines are late by up to this.
const tick = 100 * time.Millisecond

// poolTrimEvery is how long what lies unused in the pool is kept at least.
const poolTrimEvery = 10 * time.Second

// stoppedFor is the time without a tick after which the loop itself must have
// stood still, as under SIGSTOP. The peers' silence in it is not theirs.
const stoppedFor = 2 * time.Second

// A state is everything a shard knows. It is owned by the shard's loop; nothing
// in it is touched on another goroutine. [shard] is the face that others see.
type state struct {
	// Constant after start.
	cfg     Config
	index   int
	loop    *poller.Loop // nil in tests without a network
	ring    func()       // asks for another turn
	clock   func() time.Time
	base    time.Time     // instant 0
	wallSet time.Duration // by how much the wall clock was set since
	stats   *stats.Shard  // written here, read by anyone

	windowBytes int // bound of the window

	gateways map[string]*gateway
	groups   map[string]*slots[gateway]
	conns    slots[conn] // every connection until its descriptor is closed
	barrier  uint64      // no gateway that was here has a higher one
	window   *history    // the newest events
	behind   slots[conn] // open connections whose place is before the window

	wheel    wheel
	now      instant // of this turn, tick or readiness
	lastTick instant
	awake    instant // when the loop last came back from standing still

	pending  []command // taken from the inbox, oldest first
	next     int       // pending[:next] are done
	fanned   int       // how many slots the command pending[next] has reached, if it is for many
	applied  int64     // weight of the commands that are done
	upTo     uint64    // the event that everything pending reaches to
	seq      uint64    // every event up to this one is in its send queues
	lineage  Lineage   // of the log, as far as the shard has come
	before   Lineage   // what lineage was before the last turn
	dirty    []*conn   // to be flushed, each once
	flushed  int       // dirty[:flushed] are done
	turning  bool      // a turn is running, and will come to what is touched
	gathered int       // turns that only appended since all was flushed
	pool     outboxPool
	trimDue  instant  // when the pool is next trimmed
	vec      [][]byte // scratch for flush
	drain    *drainPlan
	stopped  bool // no connection is taken any more

	moved   []*conn // have written events that were not reported
	report  Report  // to be told
	tellDue instant // when progress is next reported
}

// A gateway is one that has an open connection.
type gateway struct {
	id     string
	conns  []*conn // few
	groups []membership
	// Barriers, see [Barrier]; first is the lowest of all.
	own, all, first uint64
}

// A membership is a gateway's place in a group.
type membership struct {
	group   string
	slot    int32
	barrier uint64
}

// inGroup returns the barrier of a group that g is in.
func (g *gateway) inGroup(name string) uint64 {
	for i := range g.groups {
		if g.groups[i].group == name {
			return g.groups[i].barrier
		}
	}
	return 0
}

func newState(cfg Config, index int, counts *stats.Shard, ring func(), clock func() time.Time) *state {
	return &state{
		cfg: cfg, index: index, ring: ring, clock: clock, base: clock(), stats: counts,
		gateways: make(map[string]*gateway),
		groups:   make(map[string]*slots[gateway]),
		wheel:    wheel{tick: tick},
		seq:      cfg.Start.Seq,
		upTo:     cfg.Start.Seq,
		lineage:  cfg.Lineage,
		before:   cfg.Lineage,
		window:   newHistory(cfg.Start.Seq),

		windowBytes: cfg.ReplayMemory / cfg.Shards,
	}
}

// setNow sets the time that everything below goes by.
func (s *state) setNow(t time.Time) { s.now = instant(t.Sub(s.base)) }

// timeOf and instantOf convert between the two forms of a time.
func (s *state) timeOf(t instant) time.Time    { return s.base.Add(time.Duration(t)) }
func (s *state) instantOf(t time.Time) instant { return instant(t.Sub(s.base)) }

// wallJump is by how much the wall clock must have been set for times to follow it.
// The time between reading the two clocks is less.
const wallJump = time.Second

// wall returns what the wall clock shows at an instant. It is the same whenever it
// is asked, unless somebody has set the clock.
func (s *state) wall(t instant) time.Time {
	now := s.clock()
	by := now.Round(0).Sub(s.base.Round(0)) - now.Sub(s.base) // without Round the clock is the monotonic one
	if d := by - s.wallSet; d > wallJump || d < -wallJump {
		s.wallSet = by
	}
	return s.timeOf(t).Add(s.wallSet)
}

// readClock sets the time for a call that does not come with it.
func (s *state) readClock() { s.setNow(s.clock()) }

// turn applies what is pending and flushes what it touched, both within bounds.
// It reports whether something is left.
//
// While there is more to append nothing is written, so that a burst to many goes
// out in one write a connection and not in one an event. That ends when
// connections begin to be written, and until all of them are: those that wait
// for their turn gather what comes meanwhile.
func (s *state) turn(t time.Time) (again bool) {
	s.setNow(t)
	s.turning = true
	defer func() { s.turning = false }()
	s.applyPending()
	s.tell()
	if left := s.next < len(s.pending); left && s.gathered < maxGather {
		s.gathered++
		return true
	}
	s.gathered = maxGather
	if s.flushDirty(); len(s.dirty) == 0 {
		s.gathered = 0
	}
	return s.next < len(s.pending) || s.flushed < len(s.dirty)
}

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
		s.seq = max(s.seq, s.upTo)
	}
}

func (s *state) flushDirty() {
	stop := min(len(s.dirty), s.flushed+maxFlushes)
	for ; s.flushed < stop; s.flushed++ {
		c := s.dirty[s.flushed]
		s.dirty[s.flushed] = nil
		c.dirty = false
		if c.state != closed && !c.blocked && c.out != nil {
			c.flush()
		}
	}
	if s.flushed == len(s.dirty) {
		s.dirty, s.flushed = s.dirty[:0], 0
	}
}

// tick moves the wheel and the drain on.
func (s *state) tick(t time.Time) {
	s.setNow(t)
	if s.now-s.lastTick > instant(stoppedFor) {
		s.awake = s.now
	}
	s.lastTick = s.now
	s.wheel.advance(s.now, (*conn).expire)
	if s.now >= s.trimDue {
		s.trimDue = s.now.add(poolTrimEvery)
		s.pool.trim()
	}
	if s.now >= s.tellDue {
		s.tellDue = s.now.add(tellEvery)
		s.tellProgress()
	}
	s.stats.WindowBytes.Set(int64(s.window.bytes))
	s.stats.WindowEvents.Set(int64(s.window.len()))
	s.stats.ReplaysWaiting.Set(int64(s.behind.len()))
	if s.drain != nil {
		s.drain.step(s)
	}
}

// register begins a connection: greeting and ack are the first thing queued for
// it, and every event after the ack's cursor follows. It returns how many events
// were queued.
func (s *state) register(r *Registration) (cost int) {
	if s.stopped {
		r.abandon()
		return 0
	}
	c := newConn(s, r)
	t, err := r.Open(s.loop, c)
	if err != nil {
		c.depart(event.InternalError, err.Error())
		return 0
	}
	c.transport, c.deflates = t, t.Deflates()
	c.enter(&r.Peer)
	if why, revoked := r.Peer.Revoked(); revoked {
		c.begin(r.Greeting)
		c.close(why, "revoked while it connected")
	} else {
		cost = c.welcome(r)
		c.tellConnected()
	}
	t.Start()
	return cost
}

// welcome queues the ack, and what follows from where the gateway says it was.
func (c *conn) welcome(r *Registration) (cost int) {
	if r.Resume == nil {
		c.began(false)
		c.begin(append(r.Greeting, c.transport.Encode(c.ackText(false))...))
		return 0
	}
	// A position before the barrier is somebody else's, or of before there was anything
	// to have: what lies between is not the gateway's to miss.
	r.Resume.After = max(r.Resume.After, c.s.gateways[c.gatewayID].first)
	reason := c.s.resyncReason(r.Resume)
	if reason == "" {
		c.startAt(r.Resume.After)
	}
	c.begin(append(r.Greeting, c.transport.Encode(c.ackText(reason == ""))...))
	if reason != "" {
		c.resync(reason)
		return 1
	}
	return c.resume(r.Resume)
}

// stop ends every connection without a close frame, and reports what they have
// received. The shard takes none after it.
func (s *state) stop() {
	s.stopped = true
	for _, c := range s.conns.items {
		if c != nil {
			c.finish(event.Shutdown, "")
		}
	}
	s.tellProgress()
	s.tell()
}

// join makes c one of its gateway's connections.
func (s *state) join(c *conn, p *Peer) {
	g := s.gateways[c.gatewayID]
	if g == nil {
		b := &p.Barrier
		g = &gateway{id: c.gatewayID, own: b.Own, all: b.All, first: b.lowest()}
		s.barrier = max(s.barrier, b.highest())
		for i, name := range p.Groups {
			set := s.groups[name]
			if set == nil {
				set = new(slots[gateway])
				s.groups[name] = set
			}
			g.groups = append(g.groups, membership{name, set.add(g), b.group(i)})
		}
		s.gateways[g.id] = g
		s.stats.Gateways.Add(1)
	}
	g.conns = append(g.conns, c)
	c.live.Add(1)
}

// leave undoes join.
func (s *state) leave(c *conn) {
	c.stopReplay()
	g := s.gateways[c.gatewayID]
	i := slices.Index(g.conns, c)
	g.conns = slices.Delete(g.conns, i, i+1)
	c.live.Add(-1)
	if len(g.conns) > 0 {
		return
	}
	for _, m := range g.groups {
		set := s.groups[m.group]
		if set.remove(m.slot); set.len() == 0 {
			delete(s.groups, m.group)
		}
	}
	delete(s.gateways, g.id)
	s.stats.Gateways.Add(-1)
}

// failed counts and tells of deliveries that failed.
func (s *state) failed(why event.FailureReason, n Notice) {
	n.Kind, n.Failure, n.At = DeliveryFailed, why, s.clock()
	s.stats.Fail(why, len(n.Messages), n.At)
	s.cfg.Notify(n)
}
