// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"slices"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/shard"
)

// sequence returns the sequence of a barrier in the history that the shards have.
func (d *Dispatcher) sequence(barrier event.Cursor) uint64 {
	if barrier.IsZero() {
		return 0
	}
	return d.Lineage().Barrier(barrier)
}

// Barrier returns a gateway's barrier in the form that its shard uses: sequences after
// which events are for the gateway.
func (d *Dispatcher) Barrier(g *auth.Gateway) shard.Barrier {
	b := shard.Barrier{Own: d.sequence(g.Barrier.Own), All: d.sequence(g.Barrier.All), Organization: d.sequence(g.Barrier.Organization)}
	if g.Barrier.Groups != nil {
		b.Groups = make([]uint64, len(g.Barrier.Groups))
		for i, at := range g.Barrier.Groups {
			b.Groups[i] = d.sequence(at)
		}
	}
	return b
}

// BarrierFor returns the sequence after which events with a target are for a gateway.
func (d *Dispatcher) BarrierFor(g *auth.Gateway, t event.Target) uint64 {
	return d.sequence(g.BarrierFor(t))
}

// IsAfterBarrier reports whether an event was for a gateway that its target includes: it
// was published after the gateway was registered, or joined the group or organization.
func (d *Dispatcher) IsAfterBarrier(g *auth.Gateway, t event.Target, id event.Cursor, published time.Time) bool {
	barrier := g.BarrierFor(t)
	if barrier.IsZero() && !g.CreatedAt.IsZero() {
		// The gateway was registered by a version without barriers: compare times.
		return !g.CreatedAt.After(published)
	}
	return id.Seq > d.sequence(barrier)
}

// IsTarget reports whether an event was for a gateway.
func (d *Dispatcher) IsTarget(g *auth.Gateway, t event.Target, id event.Cursor, published time.Time) bool {
	included := t.All || slices.Contains(t.GatewayIDs, g.ID) || t.Group != "" && slices.Contains(g.Groups, t.Group) ||
		t.OrganizationID != "" && t.OrganizationID == g.OrganizationID
	return included && d.IsAfterBarrier(g, t, id, published)
}
