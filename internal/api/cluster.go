// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"

	"github.com/valyala/fasthttp"
)

// A Cluster asks the nodes that share the log.
type Cluster interface {
	// Stats returns the results of [Server.NodeStats] on the other nodes, and
	// the ids of nodes that did not answer before ctx ended. Parts may include
	// this node's.
	Stats(ctx context.Context, q PageQuery) (parts []NodeStats, missing []string, err error)
}

// A PageQuery asks for one page of the connections of all nodes. They are
// listed node by node, in the order of node ids. Nodes send it to each other as
// JSON.
type PageQuery struct {
	GatewayID string `json:"gatewayId,omitempty"` // empty: of all gateways
	After     string `json:"after,omitempty"`     // a cursor NODE~CURSOR, where CURSOR is that node's own; empty: the first page
	Limit     int    `json:"limit"`
}

// NodeStats are the stats of one node. Nodes send them to each other as JSON.
type NodeStats struct {
	NodeID           string          `json:"nodeId"`
	TotalConnections int64           `json:"totalConnections"`
	Delivery         stats.Delivery  `json:"delivery"`
	Node             json.RawMessage `json:"node"` // the object "node" of the stats

	// Connections are this node's part of the page; empty if the page begins on
	// a later node. Next is this node's own cursor if it has more.
	Connections []json.RawMessage `json:"connections"`
	Next        string            `json:"next,omitempty"`
	// BadCursor says that the query's cursor names this node but was not made
	// by it.
	BadCursor bool `json:"badCursor,omitempty"`
}

// NodeStats returns the stats of this node, with its part of a page.
func (s *Server) NodeStats(ctx context.Context, q PageQuery) (NodeStats, error) {
	part := NodeStats{
		NodeID:           s.cfg.NodeID,
		TotalConnections: stats.TotalConnections(s.cfg.Shards),
		Node:             stats.AppendNode(nil, s.cfg.NodeID, s.cfg.Version, s.cfg.StartedAt, s.cfg.Shards),
		Delivery:         stats.DeliveryOf(s.cfg.Shards, &s.cfg.Node.Failures),
		Connections:      []json.RawMessage{},
	}
	err := s.fillPage(ctx, &part, q)
	if errors.Is(err, ErrCursor) {
		part.BadCursor, err = true, nil
	}
	return part, err
}

// fillPage adds this node's connections to its part of a page.
func (s *Server) fillPage(ctx context.Context, part *NodeStats, q PageQuery) error {
	// Nodes are listed in the order of their ids. A cursor of a later node
	// means that all connections of this one are on earlier pages.
	node, after, err := splitCursor(q.After)
	if err != nil || node > s.cfg.NodeID {
		return err
	}
	if node == s.cfg.NodeID {
		part.Next = after
	}
	// Pages of statsPage connections bound what a shard prepares at once.
	for left := q.Limit; left > 0; left = q.Limit - len(part.Connections) {
		page, next, err := s.cfg.Connections.Page(ctx, q.GatewayID, part.Next, min(left, statsPage))
		if err != nil {
			return err
		}
		for i := range page {
			part.Connections = append(part.Connections, stats.AppendConnection(nil, &page[i], s.cfg.NodeID))
		}
		if part.Next = next; next == "" {
			break
		}
	}
	return nil
}

// splitCursor splits a cursor NODE~CURSOR. Both parts are empty for the first
// page.
func splitCursor(cursor string) (node, inner string, err error) {
	node, inner, ok := strings.Cut(cursor, "~")
	if cursor != "" && (!ok || !event.ValidName(node)) {
		return "", "", ErrCursor
	}
	return node, inner, nil
}

// showClusterStats is GET /stats?scope=cluster. Unlike the stats of one node it
// is not streamed: its pages have at most 1,000 connections.
func (s *Server) showClusterStats(ctx *fasthttp.RequestCtx, q PageQuery) error {
	if _, _, err := splitCursor(q.After); err != nil {
		return badParam("cursor", err.Error())
	}
	parts, missing, err := s.nodeParts(q)
	if err != nil {
		return unavailable("cannot get the stats of the cluster: %v", err)
	}
	if slices.ContainsFunc(parts, func(p NodeStats) bool { return p.BadCursor }) {
		return badParam("cursor", ErrCursor.Error())
	}
	answerJSON(ctx, fasthttp.StatusOK, s.appendClusterStats(nil, parts, missing, q.Limit))
	return nil
}

// nodeParts returns the stats of all nodes in the order of their ids, and the
// ids of those that did not answer.
func (s *Server) nodeParts(q PageQuery) (parts []NodeStats, missing []string, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.limits.nodes)
	defer cancel()
	own, err := s.NodeStats(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	parts = []NodeStats{own}
	if s.cfg.Cluster != nil {
		others, silent, err := s.cfg.Cluster.Stats(ctx, q)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot ask other nodes: %w", err)
		}
		parts, missing = append(parts, others...), silent
	}
	slices.SortStableFunc(parts, func(a, b NodeStats) int { return cmp.Compare(a.NodeID, b.NodeID) })
	// The bus may return this node's own part as well.
	parts = slices.CompactFunc(parts, func(a, b NodeStats) bool { return a.NodeID == b.NodeID })
	slices.Sort(missing)
	return parts, missing, nil
}

// appendClusterStats appends the answer: totals over all parts, one page of
// connections, and the nodes.
func (s *Server) appendClusterStats(dst []byte, parts []NodeStats, missing []string, limit int) []byte {
	var total int64
	var delivery stats.Delivery
	var nodes []json.RawMessage
	// Null only if this node is not among the parts, which cannot happen:
	// nodeParts adds it.
	own := json.RawMessage(`null`)
	for i := range parts {
		p := &parts[i]
		total += p.TotalConnections
		delivery.Add(p.Delivery)
		if len(p.Node) > 0 {
			nodes = append(nodes, p.Node)
		}
		if p.NodeID == s.cfg.NodeID {
			own = p.Node
		}
	}
	connections, cursor := joinPages(parts, limit)
	dst = append(dst, `{"gatewayConnections":{"totalActive":`...)
	dst = strconv.AppendInt(dst, total, 10)
	dst = appendRaw(append(dst, `,"connections":`...), connections)
	if cursor != "" {
		dst = event.AppendString(append(dst, `,"cursor":`...), cursor)
	}
	dst = delivery.AppendJSON(append(dst, `},"eventDelivery":`...))
	dst = append(append(dst, `,"node":`...), own...)
	dst = appendRaw(append(dst, `,"nodes":`...), nodes)
	dst = appendStrings(append(dst, `,"notAnswered":`...), missing)
	return append(dst, '}')
}

// joinPages joins the nodes' parts of a page, as many as fit into limit, and
// returns the cursor to continue at. A part is taken whole or not at all,
// because only its end has a cursor; so the page may be shorter than limit.
func joinPages(parts []NodeStats, limit int) (list []json.RawMessage, cursor string) {
	for i := range parts {
		p := &parts[i]
		if len(list)+len(p.Connections) > limit {
			return list, p.NodeID + "~"
		}
		list = append(list, p.Connections...)
		if p.Next != "" {
			return list, p.NodeID + "~" + p.Next
		}
	}
	return list, ""
}
