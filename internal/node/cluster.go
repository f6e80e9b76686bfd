// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/gatecast/gatecast/internal/api"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/presence"
	"github.com/gatecast/gatecast/internal/settings"

	"github.com/google/uuid"
)

// claimName claims the node's name if other nodes can share its log.
func (n *Node) claimName(ctx context.Context) (err error) {
	if !n.log.Shared() {
		return nil
	}
	if n.name, err = presence.ClaimName(ctx, n.log.Bus(), n.cfg.NodeID); err != nil {
		return nameError(err)
	}
	n.onStop(n.name.Release)
	return nil
}

// nameError turns the error that a name is taken into one about the setting.
func nameError(err error) error {
	if taken := (*presence.NameTakenError)(nil); errors.As(err, &taken) {
		return settings.NewError("node", taken.Error())
	}
	return err
}

// meetPeers waits until the other nodes have announced their gateways.
func (n *Node) meetPeers(ctx context.Context) error {
	if n.peers == nil {
		return nil
	}
	return n.peers.Meet(ctx)
}

// joinPeers announces the node to the others, and ends its start.
func (n *Node) joinPeers(ctx context.Context) error {
	if n.peers == nil {
		return nil
	}
	if err := n.peers.Join(); err != nil {
		return err
	}
	return nameError(n.name.Settle(ctx))
}

// newPeers returns the node's peers, which have not joined.
func newPeers(n *Node) *presence.Peers {
	return presence.New(presence.Config{
		Node:     n.cfg.NodeID,
		Bus:      n.log.Bus(),
		Registry: n.registry,
		Local:    localNode{n},
		Logger:   n.cfg.Logger,
		Foreign:  func(subject string, err error) { n.log.Skipped(eventlog.SourceBus, subject, err) },
		Panicked: n.peerPanicked,
	})
}

// peerPanicked counts and logs a panic that was contained while a message of another node
// was handled. The message is dropped; the next announcement repeats what it said.
func (n *Node) peerPanicked(subject string, v any) {
	n.counts.Panics.WithLabelValues("cluster").Inc()
	n.cfg.Logger.Error("internal error: the handler of another node's message panicked",
		"subject", subject, "panic", v, "stack", string(debug.Stack()))
}

// localNode answers the requests of other nodes. It implements presence.Local. Presence calls
// it on goroutines of its own, several at a time.
type localNode struct{ n *Node }

// CloseConnection closes a connection of this node and reports whether it has it.
func (l localNode) CloseConnection(id uuid.UUID) bool { return l.n.router.CloseConnection(id) }

// EndVerified ends this node's grants of a gateway that the platform verified.
func (l localNode) EndVerified(gatewayID string) error { return l.n.registry.RevokeVerified(gatewayID) }

// Stats returns this node's part of the cluster's stats, as JSON. query is a
// [api.PageQuery] in JSON; it is checked, because a node of another version can have sent it.
func (l localNode) Stats(ctx context.Context, query []byte) ([]byte, error) {
	q, err := parsePageQuery(query)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", presence.ErrQuery, err)
	}
	part, err := l.n.api.NodeStats(ctx, q)
	if err != nil {
		return nil, err
	}
	return json.Marshal(&part)
}

// maxPageLimit bounds the connections that another node can ask for in one page.
const maxPageLimit = 10_000

// parsePageQuery reads a query that another node sent.
func parsePageQuery(query []byte) (q api.PageQuery, err error) {
	if err := json.Unmarshal(query, &q); err != nil {
		return api.PageQuery{}, err
	}
	if q.Limit < 0 || q.Limit > maxPageLimit {
		return api.PageQuery{}, fmt.Errorf("it asks for %d connections", q.Limit)
	}
	return q, nil
}

// apiCluster implements api.Cluster.
type apiCluster struct{ peers *presence.Peers }

// Stats asks the other nodes for their parts. missing names the nodes that did not answer in
// time, or whose answer this node does not understand.
func (c apiCluster) Stats(ctx context.Context, q api.PageQuery) (parts []api.NodeStats, missing []string, err error) {
	query, err := json.Marshal(&q)
	if err != nil {
		return nil, nil, err
	}
	missing, err = c.peers.Stats(ctx, query, func(answer []byte) string {
		var part api.NodeStats
		if json.Unmarshal(answer, &part) != nil || !event.ValidName(part.NodeID) {
			return "" // from a node of another version, which counts as missing
		}
		parts = append(parts, part)
		return part.NodeID
	})
	return parts, missing, err
}
