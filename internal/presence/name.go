// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	nameSubject = "name." // followed by a node's name

	// answerTimeout is how long the holder of a name has to answer. A node that hangs for
	// longer counts as dead.
	answerTimeout = 500 * time.Millisecond
	// raceTimeout is how long another node that starts has to answer.
	raceTimeout = 250 * time.Millisecond
)

// A claim is a node's claim to a name. It is both the request and the reply.
type claim struct {
	Run     uint64 `json:"run"`     // random number of this start of the node; not 0
	Started bool   `json:"started"` // the node holds the name
}

// A NameTakenError reports that another node holds a name.
type NameTakenError struct{ Node string }

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("another node with the name %s runs on this NATS; give each node a name of its own", e.Node)
}

// A Name is the name of this node among those that share a log. A node holds its name
// by answering claims to it while it runs. Nothing is stored, so the name of a
// node that was killed is free at once: NATS knows that nobody listens.
type Name struct {
	// Constant.
	node string
	run  uint64
	bus  Bus
	stop func() // ends the subscription

	// Written by the bus's goroutine and by the one that claims; read by both.
	started atomic.Bool
	taken   atomic.Bool // another node has the name
}

// ClaimName claims a name; [Name.Settle] confirms it. Of nodes that start at the same
// time, the one with the lowest run gets the name. The error is a [*NameTakenError] if
// another node has it.
func ClaimName(ctx context.Context, bus Bus, node string) (*Name, error) {
	n := &Name{node: node, run: max(rand.Uint64(), 1), bus: bus}
	// Ask before subscribing: without any subscriber NATS replies at once.
	if err := n.ask(ctx, answerTimeout, n.yieldsTo); err != nil {
		return nil, err
	}
	stop, err := bus.Subscribe(nameSubject+node, func(_ string, data []byte) []byte { return n.answer(data) })
	if err != nil {
		return nil, err
	}
	n.stop = stop
	// Ask again, for a node that asked before we subscribed.
	if err := n.ask(ctx, raceTimeout, n.yieldsTo); err != nil {
		stop()
		return nil, err
	}
	return n, nil
}

// Settle is called at the end of a node's start. From then on the node does not yield.
// It asks until its own claim comes back: NATS keeps order, so by then every earlier
// claim of another node has been received.
func (n *Name) Settle(ctx context.Context) error {
	err := n.ask(ctx, answerTimeout, func(c claim) bool { return n.yieldsTo(c) || c.Run == n.run })
	if err == nil {
		n.started.Store(true)
	}
	return err
}

// Release gives up the name.
func (n *Name) Release() { n.stop() }

// answer receives a claim and returns this node's. A node that must yield may no longer
// be waiting for the reply, so the claim is also published.
func (n *Name) answer(data []byte) []byte {
	var c claim
	if json.Unmarshal(data, &c) != nil || c.Run == 0 {
		return nil
	}
	if !n.yieldsTo(c) && c.Run != n.run && !c.Started {
		_ = n.bus.Publish(nameSubject+n.node, n.claim())
	}
	return n.claim()
}

func (n *Name) claim() []byte { return marshal(&claim{n.run, n.started.Load()}) }

// yieldsTo reports whether another node's claim prevails, and stores that it does.
func (n *Name) yieldsTo(c claim) bool {
	if c.Run == n.run || n.started.Load() || !c.Started && c.Run > n.run {
		return false
	}
	n.taken.Store(true)
	return true
}

// ask publishes the claim and calls f with each reply until it returns true or the
// timeout is over.
func (n *Name) ask(ctx context.Context, timeout time.Duration, f func(claim) (enough bool)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := n.bus.Ask(ctx, nameSubject+n.node, n.claim(), func(answer []byte) bool {
		var c claim
		return json.Unmarshal(answer, &c) == nil && c.Run != 0 && f(c)
	})
	if err == nil && n.taken.Load() {
		return &NameTakenError{n.node}
	}
	return err
}
