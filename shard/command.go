// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

// A command is what other goroutines ask of a shard. Exactly one of its first
// four fields is set.
type command struct {
	message  *Message // to be delivered to its receivers
	register *Registration
	page     *page // to be read by those who are behind
	do       func(*state)

	to  receivers
	old bool // the message is of the past: it is for the window alone
}

// weight is what the command counts for in an inbox: one, and one more for every
// 4 KiB of its event.
func (cmd *command) weight() int64 {
	if cmd.message == nil {
		return 1
	}
	return 1 + int64(cmd.message.size()>>12)
}

// receivers says whom a message is for, as far as one shard is concerned.
type receivers struct {
	scope    scope
	gateways []string // toGateways
	group    string   // toGroup
}

type scope uint8

const (
	toGateways scope = iota
	toGroup
	toAll
)

// dearCost is what a registration, with its system calls, or another command
// costs, in appends.
const dearCost = 256

// apply does one command, in pieces when it is for many. It returns what that
// cost, in appends, and whether it is done; if not it goes on from s.fanned.
func (s *state) apply(cmd *command, budget int) (cost int, done bool) {
	switch {
	case cmd.register != nil:
		return dearCost + s.register(cmd.register), true
	case cmd.page != nil:
		cost, done = s.turnPage(cmd.page, budget)
	case cmd.do != nil:
		cmd.do(s)
		return dearCost, true
	default:
		cost, done = s.deliver(cmd, budget)
	}
	if done {
		s.fanned = 0
	}
	return cost, done
}

// deliver queues a message for its receivers. It is in the window before the
// first of them has it, so that a connection which catches up meanwhile misses
// nothing.
func (s *state) deliver(cmd *command, budget int) (cost int, done bool) {
	m := cmd.message
	if s.fanned == 0 {
		s.window.add(cmd.to, m)
		s.window.trim(s.windowBytes)
	}
	switch done = true; {
	case cmd.old:
	case m.Cursor.Seq <= s.barrier:
		cost, done = s.deliverBeforeBarrier(cmd, budget)
	case cmd.to.scope == toGateways:
		for _, id := range cmd.to.gateways {
			cost += 1 + s.gateways[id].deliver(m)
		}
	case cmd.to.scope == toAll:
		cost, done = fan(s, &s.conns, budget, func(c *conn) int { return c.deliver(m) })
	default:
		if set := s.groups[cmd.to.group]; set != nil {
			cost, done = fan(s, set, budget, func(g *gateway) int { return g.deliver(m) })
		}
	}
	if done {
		s.seq = m.Cursor.Seq
	}
	return cost, done
}

// deliverBeforeBarrier is deliver of a message that may lie before what some of its
// receivers began with: of one that this node is late with.
func (s *state) deliverBeforeBarrier(cmd *command, budget int) (cost int, done bool) {
	m := cmd.message
	seq := m.Cursor.Seq
	switch cmd.to.scope {
	case toGateways:
		for _, id := range cmd.to.gateways {
			cost++
			if g := s.gateways[id]; g != nil && seq > g.own {
				cost += g.deliver(m)
			}
		}
		return cost, true
	case toAll:
		return fan(s, &s.conns, budget, func(c *conn) int {
			if g := s.gateways[c.gatewayID]; g == nil || seq <= g.all {
				return 0
			}
			return c.deliver(m)
		})
	}
	set := s.groups[cmd.to.group]
	if set == nil {
		return 0, true
	}
	return fan(s, set, budget, func(g *gateway) int {
		if seq <= g.inGroup(cmd.to.group) {
			return 0
		}
		return g.deliver(m)
	})
}

// fan calls deliver with the members of set from s.fanned on, until the budget
// is spent.
func fan[T any](s *state, set *slots[T], budget int, deliver func(*T) int) (cost int, done bool) {
	for s.fanned < len(set.items) {
		if cost >= budget {
			return cost, false
		}
		appends := 0
		if v := set.items[s.fanned]; v != nil {
			appends = deliver(v)
		}
		cost += max(appends, 1) // looking is work too
		s.fanned++
	}
	return cost, true
}

// deliver queues m for each of the gateway's connections. A nil gateway has none.
func (g *gateway) deliver(m *Message) (cost int) {
	if g == nil {
		return 0
	}
	// A connection that is cut off as slow leaves g.conns under our hands.
	for i := len(g.conns) - 1; i >= 0; i-- {
		cost += g.conns[i].deliver(m)
	}
	return cost
}
