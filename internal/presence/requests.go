// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package presence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
)

// requestTimeout is how long the other nodes have to answer a request.
const requestTimeout = time.Second

// closedPrefix is in front of the name of a node that closed a connection.
const closedPrefix = "closed "

// ErrQuery is the error about a query that no node sends.
var ErrQuery = errors.New("not a query of a node")

// Local is this node, as far as other nodes' requests concern it. Its methods are
// called by goroutines of the bus.
type Local interface {
	// CloseConnection closes a connection and reports whether this node has it.
	CloseConnection(id uuid.UUID) bool
	// EndVerified ends the tokens of a gateway that the platform verified.
	EndVerified(gatewayID string) error
	// Stats answers a query for stats. The error wraps [ErrQuery] if no node sends such a
	// query.
	Stats(ctx context.Context, query []byte) (answer []byte, err error)
}

// CloseConnection closes a connection of another node and reports whether one had it.
// If none had it and nodes did not answer, that is an error.
func (p *Peers) CloseConnection(ctx context.Context, id uuid.UUID) (found bool, err error) {
	if p == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	missing, err := p.askAll(ctx, closeSubject, []byte(id.String()), func(answer []byte) string {
		node, closed := strings.CutPrefix(string(answer), closedPrefix)
		found = found || closed
		return node
	})
	if err == nil && !found && len(missing) > 0 {
		err = fmt.Errorf("it is not of a node that answers, and these do not: %s", strings.Join(missing, ", "))
	}
	return found, err
}

// closeLocal answers a request to close a connection.
func (p *Peers) closeLocal(id []byte) []byte {
	u, err := uuid.ParseBytes(id)
	if err != nil {
		p.Foreign(closeSubject, err)
		return nil
	}
	if p.Local.CloseConnection(u) {
		return []byte(closedPrefix + p.Node)
	}
	return []byte(p.Node)
}

// EndVerified ends on every node the tokens of a gateway that the platform verified.
func (p *Peers) EndVerified(ctx context.Context, gatewayID string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	missing, err := p.askAll(ctx, verifiedSubject, []byte(gatewayID), func(answer []byte) string { return string(answer) })
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("these nodes do not answer, and may still have its connections: %s", strings.Join(missing, ", "))
	}
	return err
}

// endVerifiedLocal answers a request to end a gateway's verified tokens. If this node
// fails to, it does not answer.
func (p *Peers) endVerifiedLocal(gatewayID []byte) []byte {
	if !event.ValidName(string(gatewayID)) {
		p.Foreign(verifiedSubject, fmt.Errorf("it names gateway %q", gatewayID))
		return nil
	}
	if p.Local.EndVerified(string(gatewayID)) != nil {
		return nil
	}
	return []byte(p.Node)
}

// Stats asks all nodes for stats. It calls f with each answer; f returns the node that
// gave it, "" if the answer cannot be read. missing are the nodes that gave none.
func (p *Peers) Stats(ctx context.Context, query []byte, f func(answer []byte) (node string)) (missing []string, err error) {
	return p.askAll(ctx, statsSubject, query, f)
}

// statsLocal answers a request for stats.
func (p *Peers) statsLocal(query []byte) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	answer, err := p.Local.Stats(ctx, query)
	switch {
	case errors.Is(err, ErrQuery):
		p.Foreign(statsSubject, err)
		return nil
	case err != nil: // the node that asks reports this one as missing
		return nil
	}
	return answer
}

// askAll sends a request to all nodes, this one included, and calls f with each answer;
// f returns the node that gave it. It ends when all known nodes have answered or ctx
// ends, and returns the nodes that did not. An unknown node can answer as well.
func (p *Peers) askAll(ctx context.Context, subject string, data []byte, f func(answer []byte) (node string)) (missing []string, err error) {
	all, _ := p.view.names()
	left := make(map[string]struct{}, len(all)+1)
	for _, name := range append(all, p.Node) {
		left[name] = struct{}{}
	}
	err = p.Bus.Ask(ctx, subject, data, func(answer []byte) (enough bool) {
		delete(left, f(answer))
		return len(left) == 0
	})
	return slices.Sorted(maps.Keys(left)), err
}
