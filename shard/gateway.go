// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import "slices"

// A gateway is a gateway with at least one open connection. It is owned by the loop.
type gateway struct {
	id    string
	conns []*conn // few
	sets  []membership
	// Barriers as sequences, see [Barrier]; first is the lowest of all.
	own, all, first uint64
}

// A membership is a gateway's slot in a group or an organization, and its barrier there.
type membership struct {
	name    string
	slot    int32 // in state.sets(kind)[name]
	kind    scope // toGroup or toOrganization
	barrier uint64
}

// barrierIn returns the barrier of a group or an organization that g is in.
func (g *gateway) barrierIn(to *receivers) uint64 {
	for i := range g.sets {
		if m := &g.sets[i]; m.name == to.name && m.kind == to.scope {
			return m.barrier
		}
	}
	return 0
}

// sets returns the sets of gateways of one kind: toGroup or toOrganization.
func (s *state) sets(kind scope) map[string]*slots[gateway] {
	if kind == toOrganization {
		return s.organizations
	}
	return s.groups
}

// addTo adds g to a group or an organization.
func (s *state) addTo(kind scope, name string, g *gateway, barrier uint64) {
	sets := s.sets(kind)
	set := sets[name]
	if set == nil {
		set = new(slots[gateway])
		sets[name] = set
	}
	g.sets = append(g.sets, membership{name, set.add(g), kind, barrier})
}

// join adds c to its gateway, which it creates for the first connection.
func (s *state) join(c *conn, p *Peer) {
	g := s.gateways[c.gatewayID]
	if g == nil {
		b := &p.Barrier
		g = &gateway{id: c.gatewayID, own: b.Own, all: b.All, first: b.lowest()}
		s.barrier = max(s.barrier, b.highest())
		for i, name := range p.Groups {
			s.addTo(toGroup, name, g, b.group(i))
		}
		if p.OrganizationID != "" {
			s.addTo(toOrganization, p.OrganizationID, g, b.organization())
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
	for i := range g.sets {
		m := &g.sets[i]
		sets := s.sets(m.kind)
		set := sets[m.name]
		if set.remove(m.slot); set.len() == 0 {
			delete(sets, m.name)
		}
	}
	delete(s.gateways, g.id)
	s.stats.Gateways.Add(-1)
}
