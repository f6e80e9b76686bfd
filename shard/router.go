// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"context"
	"hash/maphash"
	"sync/atomic"
	"time"

	"gatecast/event"
	"gatecast/stats"

	"github.com/google/uuid"
)

// A Router owns the shards and sends everything to the one it concerns.
type Router struct {
	shards []*shard
	seed   maphash.Seed
	// position is the newest event posted to every shard it is for. Dispatch
	// writes it.
	position atomic.Uint64
}

// Start starts a router and its shards.
func Start(cfg Config) (*Router, error) {
	cfg = cfg.withDefaults()
	r := &Router{seed: maphash.MakeSeed()}
	r.position.Store(cfg.Start.Seq)
	for i := range cfg.Shards {
		sh, err := startShard(cfg, i, &r.position)
		if err != nil {
			r.Stop()
			return nil, err
		}
		r.shards = append(r.shards, sh)
	}
	return r, nil
}

// of returns the shard that owns a gateway.
func (r *Router) of(gatewayID string) *shard {
	return r.shards[maphash.String(r.seed, gatewayID)%uint64(len(r.shards))]
}

// Dispatch sends an event to the connections of its target. Events must come in
// the order of their cursors, from one goroutine at a time. It waits while a
// shard has more than it can take.
func (r *Router) Dispatch(t event.Target, m *Message) {
	switch {
	case t.All:
		r.dispatchMany(command{message: m, scope: toAll})
	case t.Group != "":
		r.dispatchMany(command{message: m, scope: toGroup, name: t.Group})
	default:
		for _, id := range t.GatewayIDs {
			sh := r.of(id)
			sh.awaitRoom()
			sh.post(command{message: m, scope: toGateway, name: id})
		}
	}
	r.position.Store(m.Cursor.Seq)
}

func (r *Router) dispatchMany(cmd command) {
	for _, sh := range r.shards {
		sh.awaitRoom()
		sh.post(cmd)
	}
}

// Register hands a connection to its gateway's shard. Any goroutine may call it.
func (r *Router) Register(reg *Registration) {
	r.of(reg.Peer.GatewayID).post(command{register: reg})
}

// Kick closes a gateway's connections: those of one token, or all when tokenID
// is empty. Any goroutine may call it.
func (r *Router) Kick(gatewayID, tokenID string, why stats.Disconnect) {
	r.of(gatewayID).post(command{do: func(s *state) { s.kick(gatewayID, tokenID, why) }})
}

func (s *state) kick(gatewayID, tokenID string, why stats.Disconnect) {
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
// waits for the shards. Any goroutine but a loop's may call it.
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
			c.close(stats.Kicked, "by an operator")
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
	for range r.shards {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Stop closes what connections are left without a word, and the shards. Nothing
// may be called after it, and nothing may be under way.
func (r *Router) Stop() {
	for _, sh := range r.shards {
		sh.ask(func(s *state) {
			for _, c := range s.conns.items {
				if c != nil {
					c.finish(stats.Shutdown, "")
				}
			}
		})
		sh.loop.Close()
	}
}
