// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/gatecast/gatecast/internal/settings"

	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/eventlog"
)

// Nodes that share a log are told apart by their names, so a second node of one name does
// not start. A node answers who asks for its name for as long as it runs; of one that was
// killed, the servers know at once that nobody answers.
const (
	nameSubject = "name." // a node's name follows it

	// nameAnswer is how long a node has to answer: one that hangs for longer counts as dead.
	nameAnswer = 500 * time.Millisecond
	// nameRace is how long one that starts at the same time has.
	nameRace = 250 * time.Millisecond
)

// A claim is what a node says of its name. It is question and answer at once.
type claim struct {
	Run     uint64 `json:"run"` // one start of the node
	Started bool   `json:"started"`
}

// A name is held by a node until it is released.
type name struct {
	id      string
	run     uint64
	bus     eventlog.Bus
	started atomic.Bool
	taken   atomic.Bool // another node has it
	release func()
}

// claimName takes a name among the nodes that share a log. Of those that start at once,
// the one with the lowest number gets it: see settle.
func claimName(ctx context.Context, bus eventlog.Bus, id string) (*name, error) {
	n := &name{id: id, run: max(rand.Uint64(), 1), bus: bus}
	// Without a subscription of our own the servers say at once that nobody listens.
	if err := n.ask(ctx, nameAnswer, n.yields); err != nil {
		return nil, err
	}
	stop, err := bus.Subscribe(nameSubject+id, func(_ string, data []byte) []byte { return n.hear(data) })
	if err != nil {
		return nil, err
	}
	n.release = stop
	if err := n.ask(ctx, nameRace, n.yields); err != nil {
		stop()
		return nil, err
	}
	return n, nil
}

// settle ends the start of the node, if no other has the name by now. Whatever others
// said in the meantime has been heard before our own question is.
func (n *name) settle(ctx context.Context) error {
	err := n.ask(ctx, nameAnswer, func(c claim) bool { return n.yields(c) || c.Run == n.run })
	if err == nil {
		n.started.Store(true)
	}
	return err
}

// hear takes another node's claim and returns ours. One that has to yield may not have
// waited for the answer, so it is told again.
func (n *name) hear(data []byte) []byte {
	var c claim
	if json.Unmarshal(data, &c) != nil || c.Run == 0 {
		return nil
	}
	if !n.yields(c) && c.Run != n.run && !c.Started {
		_ = n.bus.Publish(nameSubject+n.id, n.claim())
	}
	return n.claim()
}

func (n *name) claim() []byte { return marshal(&claim{n.run, n.started.Load()}) }

// yields reports whether another node has the name rather than this one, and notes it.
func (n *name) yields(c claim) bool {
	if c.Run == n.run || n.started.Load() || !c.Started && c.Run > n.run {
		return false
	}
	n.taken.Store(true)
	return true
}

// ask makes the claim and hands answers to f until it has enough. It is an error when
// the name is taken.
func (n *name) ask(ctx context.Context, wait time.Duration, f func(claim) (enough bool)) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := n.bus.Ask(ctx, nameSubject+n.id, n.claim(), func(answer []byte) bool {
		var c claim
		return json.Unmarshal(answer, &c) == nil && c.Run != 0 && f(c)
	})
	if err == nil && n.taken.Load() {
		return settings.NewError("node", fmt.Sprintf("another node with the name %s runs on this NATS; give each node a name of its own", n.id))
	}
	return err
}
