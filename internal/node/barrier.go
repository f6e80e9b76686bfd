// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"slices"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/shard"
)

// sequence returns the sequence of a barrier in the log, as far as this node has come.
func (n *Node) sequence(barrier event.Cursor) uint64 {
	if barrier.IsZero() {
		return 0
	}
	return n.lineage.Load().Barrier(barrier)
}

// barrierOf returns a gateway's barrier as its shard wants it.
func (n *Node) barrierOf(g *auth.Gateway) shard.Barrier {
	b := shard.Barrier{Own: n.sequence(g.Barrier.Own), All: n.sequence(g.Barrier.All)}
	if g.Barrier.Groups != nil {
		b.Groups = make([]uint64, len(g.Barrier.Groups))
		for i, at := range g.Barrier.Groups {
			b.Groups[i] = n.sequence(at)
		}
	}
	return b
}

// begins returns the sequence after which events with a target are a gateway's.
func (n *Node) begins(g *auth.Gateway, t event.Target) uint64 { return n.sequence(g.BarrierFor(t)) }

// wasTarget reports whether an event with a target that a gateway is in was for it.
func (n *Node) wasTarget(g *auth.Gateway, e *eventlog.Entry) bool {
	barrier := g.BarrierFor(e.Target)
	if barrier.IsZero() && !g.CreatedAt.IsZero() {
		// It was registered by a version that kept no barrier: only the time is known.
		return !g.CreatedAt.After(e.Published)
	}
	return e.Cursor.Seq > n.sequence(barrier)
}

// wasFor reports whether an event was for a gateway.
func (n *Node) wasFor(gatewayID string, t event.Target, at event.Cursor, published time.Time) bool {
	g := n.registry.Lookup(gatewayID)
	if g == nil || !t.All && !slices.Contains(t.GatewayIDs, gatewayID) && (t.Group == "" || !slices.Contains(g.Groups, t.Group)) {
		return false
	}
	return n.wasTarget(g, &eventlog.Entry{Cursor: at, Target: t, Published: published})
}
