// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"

	"github.com/google/uuid"
)

// A Router owns the shards and sends everything to the one it concerns.
type Router struct {
	shards []*shard
	seed   maphash.Seed
	// position is the newest event posted to every shard it is for. Dispatch
	// writes it.
	position atomic.Uint64
	at       uint64 // the dispatcher's: the newest event it was given
	lineage  atomic.Pointer[Lineage]

	scanner *scanner
	stop    context.CancelFunc // of the scanner
	once    sync.Once          // of Stop
}

// Start starts a router and its shards.
func Start(cfg Config) (*Router, error) {
	cfg = cfg.withDefaults()
	r := &Router{seed: maphash.MakeSeed(), at: cfg.Start.Seq}
	r.position.Store(cfg.Start.Seq)
	r.lineage.Store(&cfg.Lineage)
	wake := make(chan struct{}, 1)
	cfg.requestScan = func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	for i := range cfg.Shards {
		sh, err := startShard(cfg, i, &r.position)
		if err != nil {
			r.Stop()
			return nil, err
		}
		r.shards = append(r.shards, sh)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.scanner = startScanner(ctx, r, cfg, wake)
	return r, nil
}

// of returns the shard that owns a gateway.
func (r *Router) of(gatewayID string) *shard { return r.shards[r.index(gatewayID)] }

func (r *Router) index(gatewayID string) int {
	return int(maphash.String(r.seed, gatewayID) % uint64(len(r.shards)))
}

// route calls f with the shards that own the gateways of a target, and what of
// the target is theirs.
func (r *Router) route(t event.Target, f func(i int, to receivers)) {
	switch {
	case t.All:
		for i := range r.shards {
			f(i, receivers{scope: toAll})
		}
	case t.Group != "":
		for i := range r.shards {
			f(i, receivers{scope: toGroup, group: t.Group})
		}
	case len(t.GatewayIDs) == 1:
		f(r.index(t.GatewayIDs[0]), receivers{gateways: t.GatewayIDs})
	default:
		of := make(map[int][]string)
		for _, id := range t.GatewayIDs {
			i := r.index(id)
			of[i] = append(of[i], id)
		}
		for i, ids := range of {
			f(i, receivers{gateways: ids})
		}
	}
}

// Dispatch sends an event to the connections of its target. Events must come in
// the order of their cursors, from one goroutine at a time, Dispatch's and
// Preload's together. Where their sequence jumps, the log has lost events, and
// everybody is told to resync. Dispatch waits while a shard has more than it can
// take.
func (r *Router) Dispatch(t event.Target, m *Message) { r.send(t, command{message: m}) }

// Preload is Dispatch of an event of the past: it is kept for gateways that
// resume, and sent to nobody.
func (r *Router) Preload(t event.Target, m *Message) { r.send(t, command{message: m, old: true}) }

func (r *Router) send(t event.Target, cmd command) {
	seq := cmd.message.Cursor.Seq
	if seq > r.at+1 {
		r.MarkLost(seq - 1)
	}
	r.at = seq
	r.route(t, func(i int, to receivers) {
		cmd.to = to
		r.shards[i].awaitRoom()
		r.shards[i].post(cmd)
	})
	r.position.Store(seq)
}

// Advance says that a place in the log is no event's. It is the dispatcher's, as
// Dispatch is.
func (r *Router) Advance(seq uint64) { r.at = max(r.at, seq) }

// MarkLost says that the log has lost everything up to a place that was not
// dispatched. It is the dispatcher's, as Dispatch is.
func (r *Router) MarkLost(upTo uint64) {
	if upTo <= r.at {
		return
	}
	r.at = upTo
	for _, sh := range r.shards {
		sh.post(command{do: func(s *state) { s.skip(upTo) }})
	}
}

// skip forgets what is before a gap, and tells everybody who was there.
func (s *state) skip(upTo uint64) {
	s.window = newHistory(upTo)
	s.seq = max(s.seq, upTo)
	for _, c := range s.conns.items {
		if c != nil && c.state == open && c.pos < upTo {
			c.resync(ResyncRetained)
		}
	}
}

// Register hands a connection to its gateway's shard. Any goroutine may call it.
func (r *Router) Register(reg *Registration) {
	r.of(reg.Peer.GatewayID).post(command{register: reg})
}

// ReportNow has the shard of a gateway report at once how far its connections have come.
// Any goroutine may call it.
func (r *Router) ReportNow(gatewayID string) {
	r.of(gatewayID).post(command{do: func(s *state) { s.reportNow(gatewayID) }})
}

// Kick closes a gateway's connections: those of one token, or all when tokenID
// is empty. Any goroutine may call it.
func (r *Router) Kick(gatewayID, tokenID string, why event.CloseReason) {
	r.of(gatewayID).post(command{do: func(s *state) { s.kick(gatewayID, tokenID, why) }})
}

func (s *state) kick(gatewayID, tokenID string, why event.CloseReason) {
	g := s.gateways[gatewayID]
	if g == nil {
		return
	}
	for i := len(g.conns) - 1; i >= 0; i-- {
		if c := g.conns[i]; tokenID == "" || c.tokenID == tokenID {
			c.close(why, "")
		}
	}
}

// CloseConnection closes one connection, and reports whether it was there. It
// waits for the shards. Any goroutine but a loop's may call it. After Stop there is
// none.
func (r *Router) CloseConnection(id uuid.UUID) (found bool) {
	for _, sh := range r.shards {
		sh.ask(func(s *state) { found = found || s.closeByID(id) })
	}
	return found
}

// closeByID looks through all connections: an index would cost every connection
// memory for what an operator does once in a while.
func (s *state) closeByID(id uuid.UUID) bool {
	for _, c := range s.conns.items {
		if c != nil && c.state == open && c.id == id {
			c.close(event.Kicked, "by an operator")
			return true
		}
	}
	return false
}

// Stats returns the shards' counts, in the order of the shards.
func (r *Router) Stats() []*stats.Shard {
	counts := make([]*stats.Shard, len(r.shards))
	for i, sh := range r.shards {
		counts[i] = sh.stats
	}
	return counts
}

// Drain closes every connection with a shutdown's goodbye, spread over the given
// time, behind what is queued for it. It returns when all are gone or ctx ends.
func (r *Router) Drain(ctx context.Context, over time.Duration) error {
	done := make(chan struct{}, len(r.shards))
	for _, sh := range r.shards {
		sh.post(command{do: func(s *state) {
			s.drain = &drainPlan{start: s.now, over: over, total: s.conns.len(), done: done}
			s.drain.step(s)
		}})
	}
	for _, sh := range r.shards {
		select {
		case <-done: // of any shard: there is one for each
		case <-sh.gone: // its connections are gone too
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// ErrStopped says that a router has been stopped.
var ErrStopped = errors.New("the node is stopping")

// Stop closes the connections that are left without a close frame, and the shards.
// Other methods may be under way, and may be called after it: a registration's
// connection is then closed, a question is answered with [ErrStopped], and everything
// else does nothing.
func (r *Router) Stop() {
	r.once.Do(func() {
		if r.scanner != nil {
			r.stop()
			<-r.scanner.ended
		}
		for _, sh := range r.shards {
			sh.stop()
		}
	})
}
