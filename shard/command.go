// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

// A command is a request of another goroutine to a shard. Exactly one of its first four
// fields is set.
type command struct {
	message  *Message // to be delivered to its receivers
	register *Registration
	page     *page // to be offered to connections that wait for a scan
	do       func(*state)

	to         receivers
	windowOnly bool // the message goes to the window and to no connection
}

// weight is what the command counts for in the inbox: one, and one more for every 4 KiB
// of its message.
func (cmd *command) weight() int64 {
	if cmd.message == nil {
		return 1
	}
	return 1 + int64(cmd.message.size()>>12)
}

// receivers are the gateways of one shard that a message is for.
type receivers struct {
	scope    scope
	gateways []string // for toGateways
	name     string   // for toGroup and toOrganization
}

// A scope says how a message names its receivers.
type scope uint8

const (
	toGateways scope = iota
	toGroup
	toOrganization
	toAll
)

// fixedCost is the cost of a registration, which makes system calls, and of a do,
// measured in appends to send queues.
const fixedCost = 256

// apply applies one command. One for many receivers is applied in pieces: done is false
// when the budget is spent, and the next call continues at s.fanOutPos. Budget and cost
// are in appends to send queues.
func (s *state) apply(cmd *command, budget int) (cost int, done bool) {
	switch {
	case cmd.register != nil:
		return fixedCost + s.register(cmd.register), true
	case cmd.page != nil:
		cost, done = s.offerPage(cmd.page, budget)
	case cmd.do != nil:
		cmd.do(s)
		return fixedCost, true
	default:
		cost, done = s.deliver(cmd, budget)
	}
	if done {
		s.fanOutPos = 0
	}
	return cost, done
}

// deliver queues a message for its receivers. It adds the message to the window first,
// so that a connection which is catching up meanwhile finds it there.
func (s *state) deliver(cmd *command, budget int) (cost int, done bool) {
	m := cmd.message
	if s.fanOutPos == 0 {
		s.window.add(cmd.to, m)
		s.window.trim(s.windowBytes)
	}
	switch done = true; {
	case cmd.windowOnly:
	case m.Cursor.Seq <= s.barrier:
		cost, done = s.deliverBeforeBarrier(cmd, budget)
	case cmd.to.scope == toGateways:
		for _, id := range cmd.to.gateways {
			cost += 1 + s.gateways[id].deliver(m)
		}
	case cmd.to.scope == toAll:
		cost, done = fanOut(s, &s.conns, budget, func(c *conn) int { return c.deliver(m) })
	default:
		if set := s.sets(cmd.to.scope)[cmd.to.name]; set != nil {
			cost, done = fanOut(s, set, budget, func(g *gateway) int { return g.deliver(m) })
		}
	}
	if done {
		s.appliedSeq = m.Cursor.Seq
	}
	return cost, done
}

// deliverBeforeBarrier is deliver for a message that can be before the barrier of some
// receivers. That happens only where this node lags behind the log.
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
		return fanOut(s, &s.conns, budget, func(c *conn) int {
			if g := s.gateways[c.gatewayID]; g == nil || seq <= g.all {
				return 0
			}
			return c.deliver(m)
		})
	}
	set := s.sets(cmd.to.scope)[cmd.to.name]
	if set == nil {
		return 0, true
	}
	return fanOut(s, set, budget, func(g *gateway) int {
		if seq <= g.barrierIn(&cmd.to) {
			return 0
		}
		return g.deliver(m)
	})
}

// fanOut calls deliver for the members of set, from s.fanOutPos until the budget is
// spent.
func fanOut[T any](s *state, set *slots[T], budget int, deliver func(*T) int) (cost int, done bool) {
	for s.fanOutPos < len(set.items) {
		if cost >= budget {
			return cost, false
		}
		appends := 0
		if v := set.items[s.fanOutPos]; v != nil {
			appends = deliver(v)
		}
		cost += max(appends, 1) // a look at a member is work too
		s.fanOutPos++
	}
	return cost, true
}

// deliver queues m for each of the gateway's connections. A nil gateway has none.
func (g *gateway) deliver(m *Message) (cost int) {
	if g == nil {
		return 0
	}
	// Backwards: a slow consumer that is closed here leaves g.conns during the loop.
	for i := len(g.conns) - 1; i >= 0; i-- {
		cost += g.conns[i].deliver(m)
	}
	return cost
}
