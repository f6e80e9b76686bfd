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

// A Router owns the shards. It sends everything to the shard that it is for. One
// goroutine, the dispatcher, calls Dispatch, Preload, Advance, MarkLost and SetLineage;
// the other methods are for any goroutine.
type Router struct {
	shards []*shard
	seed   maphash.Seed
	// position is the newest event that was posted to all its shards. The dispatcher
	// writes it, the shards read it.
	position   atomic.Uint64
	dispatched uint64 // owned by the dispatcher: the newest event that it was given
	lineage    atomic.Pointer[Lineage]

	scanner  *scanner
	stop     context.CancelFunc // stops the scanner
	stopOnce sync.Once
}

// Start starts a router and its shards. The caller stops it by [Router.Stop].
func Start(cfg Config) (*Router, error) {
	cfg = cfg.withDefaults()
	r := &Router{seed: maphash.MakeSeed(), dispatched: cfg.Start.Seq}
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

// shardOf returns the shard that owns a gateway.
func (r *Router) shardOf(gatewayID string) *shard { return r.shards[r.index(gatewayID)] }

// index returns the number of the shard that owns a gateway.
func (r *Router) index(gatewayID string) int {
	return int(maphash.String(r.seed, gatewayID) % uint64(len(r.shards)))
}

// route calls f for each shard that owns gateways of a target, with the receivers
// there.
func (r *Router) route(t event.Target, f func(i int, to receivers)) {
	switch {
	case t.All:
		for i := range r.shards {
			f(i, receivers{scope: toAll})
		}
	case t.Group != "":
		for i := range r.shards {
			f(i, receivers{scope: toGroup, name: t.Group})
		}
	case t.OrganizationID != "":
		for i := range r.shards {
			f(i, receivers{scope: toOrganization, name: t.OrganizationID})
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

// Dispatch sends an event to the connections of its target. Events come in the order of
// their ids. Where their sequence jumps, the log has lost events, and every gateway
// gets resync.required. Dispatch blocks while the inbox of a shard is full. Dispatcher
// only.
func (r *Router) Dispatch(t event.Target, m *Message) { r.send(t, command{message: m}) }

// Preload adds an event from before the start to the windows, for gateways that resume.
// It is sent to no connection. Dispatcher only, as Dispatch.
func (r *Router) Preload(t event.Target, m *Message) {
	r.send(t, command{message: m, windowOnly: true})
}

// send posts a command with an event to the shards that it is for. position follows
// when all have it.
func (r *Router) send(t event.Target, cmd command) {
	seq := cmd.message.Cursor.Seq
	if seq > r.dispatched+1 {
		r.MarkLost(seq - 1)
	}
	r.dispatched = seq
	r.route(t, func(i int, to receivers) {
		cmd.to = to
		r.shards[i].awaitRoom()
		r.shards[i].post(cmd)
	})
	r.position.Store(seq)
}

// Advance says that no event has this sequence, and none is lost. Dispatcher only.
func (r *Router) Advance(seq uint64) { r.dispatched = max(r.dispatched, seq) }

// MarkLost says that the log has lost every event up to a sequence that was not
// dispatched. Dispatcher only.
func (r *Router) MarkLost(upTo uint64) {
	if upTo <= r.dispatched {
		return
	}
	r.dispatched = upTo
	for _, sh := range r.shards {
		sh.post(command{do: func(s *state) { s.skip(upTo) }})
	}
}

// skip empties the window, and resyncs every connection with a position before the end
// of the lost range.
func (s *state) skip(upTo uint64) {
	s.window = newHistory(upTo)
	s.appliedSeq = max(s.appliedSeq, upTo)
	for _, c := range s.conns.items {
		if c != nil && c.state == open && c.queuedSeq < upTo {
			c.resync(ResyncRetained)
		}
	}
}

// Register hands a connection to its gateway's shard. Any goroutine can call it.
func (r *Router) Register(reg *Registration) {
	r.shardOf(reg.Peer.GatewayID).post(command{register: reg})
}

// ReportNow makes a gateway's shard report the progress of its connections at once. Any
// goroutine can call it.
func (r *Router) ReportNow(gatewayID string) {
	r.shardOf(gatewayID).post(command{do: func(s *state) { s.reportNow(gatewayID) }})
}

// Kick closes the connections of a gateway: those of one token, or all if tokenID is
// empty. Any goroutine can call it.
func (r *Router) Kick(gatewayID, tokenID string, why event.CloseReason) {
	r.shardOf(gatewayID).post(command{do: func(s *state) { s.kick(gatewayID, tokenID, why) }})
}

// kick is Kick on the loop. It walks backwards: close removes the connection from
// g.conns.
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

// CloseConnection closes one connection, and reports whether it was found. It waits for
// the shards. Any goroutine but a loop's can call it. After Stop it finds none.
func (r *Router) CloseConnection(id uuid.UUID) (found bool) {
	for _, sh := range r.shards {
		sh.call(func(s *state) { found = found || s.closeByID(id) })
	}
	return found
}

// closeByID searches all connections: an index would cost memory per connection for a
// rare action of an operator.
func (s *state) closeByID(id uuid.UUID) bool {
	for _, c := range s.conns.items {
		if c != nil && c.state == open && c.id == id {
			c.close(event.Kicked, "by an operator")
			return true
		}
	}
	return false
}

// Stats returns the counters of the shards, in the order of the shards.
func (r *Router) Stats() []*stats.Shard {
	counts := make([]*stats.Shard, len(r.shards))
	for i, sh := range r.shards {
		counts[i] = sh.stats
	}
	return counts
}

// Drain closes every connection with the close code of a shutdown, after what is queued
// for it, spread over the given time. It returns when all are gone or ctx ends.
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
		case <-done: // of any shard: each sends one
		case <-sh.stopped: // its connections are closed too
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// ErrStopped is returned after [Router.Stop].
var ErrStopped = errors.New("the node is stopping")

// Stop closes the remaining connections without a close frame, then the shards. Other
// methods can be running, and can be called later: a registered connection is closed, a
// question is answered with [ErrStopped], everything else does nothing.
func (r *Router) Stop() {
	r.stopOnce.Do(func() {
		if r.scanner != nil {
			r.stop()
			<-r.scanner.ended
		}
		for _, sh := range r.shards {
			sh.stop()
		}
	})
}
