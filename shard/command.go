// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"gatecast/stats"
)

// A command is what other goroutines ask of a shard. Exactly one of its first
// three fields is set.
type command struct {
	message  *Message // to be delivered to who
	register *Registration
	do       func(*state)

	scope scope
	name  string // the gateway's id or the group's name
}

// weight is what the command counts for in an inbox: one, and one more for every
// 4 KiB of its event.
func (cmd *command) weight() int64 {
	if cmd.message == nil {
		return 1
	}
	return 1 + int64(len(cmd.message.Wire)>>12)
}

// A scope says whom a message is for, as far as one shard is concerned.
type scope uint8

const (
	toGateway scope = iota
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
		s.register(cmd.register)
		return dearCost, true
	case cmd.do != nil:
		cmd.do(s)
		return dearCost, true
	}
	switch cmd.scope {
	case toGateway:
		cost, done = s.deliverToGateway(cmd), true
	case toGroup:
		set := s.groups[cmd.name]
		if set == nil {
			return 1, true
		}
		cost, done = fan(s, set, budget, func(g *gateway) int { return g.deliver(cmd.message) })
	default:
		cost, done = fan(s, &s.conns, budget, func(c *conn) int { return c.deliver(cmd.message) })
	}
	if done {
		s.fanned = 0
		s.seq = cmd.message.Cursor.Seq
	}
	return cost, done
}

func (s *state) deliverToGateway(cmd *command) int {
	g := s.gateways[cmd.name]
	if g == nil {
		s.failed(stats.NotConnected, Notice{GatewayID: cmd.name, Messages: []*Message{cmd.message}})
		return 1
	}
	return g.deliver(cmd.message)
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

// deliver queues m for each of the gateway's connections.
func (g *gateway) deliver(m *Message) (cost int) {
	// A connection that is cut off as slow leaves g.conns under our hands.
	for i := len(g.conns) - 1; i >= 0; i-- {
		cost += g.conns[i].deliver(m)
	}
	return cost
}
