// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"gatecast/eventlog"
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

// A claim is what a node says of its name.
type claim struct {
	Run     uint64 `json:"run"` // one start of the node
	Started bool   `json:"started"`
}

// A name is held by a node until it is released.
type name struct {
	claim   claim
	started atomic.Bool
	release func()
}

// claimName takes a name among the nodes that share a log. Of two that start at once, the
// one with the lower number gets it.
func claimName(ctx context.Context, bus *eventlog.Bus, id string) (*name, error) {
	n := &name{claim: claim{Run: max(rand.Uint64(), 1)}}
	subject := nameSubject + id
	// Without a subscription of our own the servers say at once that nobody listens.
	if err := n.ask(ctx, bus, subject, id, nameAnswer); err != nil {
		return nil, err
	}
	stop, err := bus.Subscribe(subject, func(string, []byte) []byte {
		return marshal(&claim{n.claim.Run, n.started.Load()})
	})
	if err != nil {
		return nil, err
	}
	n.release = stop
	if err := n.ask(ctx, bus, subject, id, nameRace); err != nil {
		stop()
		return nil, err
	}
	return n, nil
}

// ask asks who has the name.
func (n *name) ask(ctx context.Context, bus *eventlog.Bus, subject, id string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	taken := false
	err := bus.Ask(ctx, subject, nil, func(answer []byte) bool {
		var other claim
		if json.Unmarshal(answer, &other) != nil || other.Run == 0 || other.Run == n.claim.Run {
			return false
		}
		taken = other.Started || n.release == nil || other.Run < n.claim.Run
		return taken
	})
	if err == nil && taken {
		return &ConfigError{"node", fmt.Sprintf("another node with the name %s runs on this NATS; give each node a name of its own", id)}
	}
	return err
}
