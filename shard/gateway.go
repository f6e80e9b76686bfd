// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import "slices"

// A gateway is a gateway with at least one open connection. It is owned by the loop.
type gateway struct {
	id     string
	conns  []*conn // few
	groups []membership
	// Barriers as sequences, see [Barrier]; first is the lowest of all.
	own, all, first uint64
}

// A membership is a gateway's slot in a group, and its barrier there.
type membership struct {
	group   string
	slot    int32 // in state.groups
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

// join adds c to its gateway, which it creates for the first connection.
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

// leave removes c from its gateway, and the gateway after its last connection.
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
