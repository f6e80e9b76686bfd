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

// A Cluster asks the nodes of one log.
type Cluster interface {
	// Stats returns what [Server.NodeStats] returns for the query on the other
	// nodes, and the ids of those that did not answer before ctx ended. This
	// node's own part may be among them.
	Stats(ctx context.Context, q PageQuery) (parts []NodeStats, missing []string, err error)
}

// A PageQuery asks for a page of the connections of a cluster. They are listed
// node by node, in the order of the nodes' ids.
type PageQuery struct {
	GatewayID string `json:"gatewayId,omitempty"` // empty: of all
	After     string `json:"after,omitempty"`     // a cursor, NODE~INNER; empty: the first page
	Limit     int    `json:"limit"`
}

// NodeStats is a node's part of the stats of a cluster. Nodes send it to each
// other as JSON.
type NodeStats struct {
	NodeID           string          `json:"nodeId"`
	TotalConnections int64           `json:"totalConnections"`
	Delivery         stats.Delivery  `json:"delivery"`
	Node             json.RawMessage `json:"node"` // as the stats show it

	// Connections are those of the page that was asked for: none when it begins on
	// a later node. Next is the node's own cursor, if there are more.
	Connections []json.RawMessage `json:"connections"`
	Next        string            `json:"next,omitempty"`
	// BadCursor says that the page cannot be told because its cursor is none of
	// this node's.
	BadCursor bool `json:"badCursor,omitempty"`
}

// NodeStats returns this node's part of the stats of a cluster.
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

// fillPage adds this node's connections of a page.
func (s *Server) fillPage(ctx context.Context, part *NodeStats, q PageQuery) error {
	node, after, err := splitCursor(q.After)
	if err != nil || node > s.cfg.NodeID {
		return err
	}
	if node == s.cfg.NodeID {
		part.Next = after
	}
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

// cutCursor cuts the cursor of a cluster's list into a node's id and that node's
// cursor. Both are empty for the first page.
func splitCursor(cursor string) (node, inner string, err error) {
	node, inner, ok := strings.Cut(cursor, "~")
	if cursor != "" && (!ok || !event.ValidName(node)) {
		return "", "", ErrCursor
	}
	return node, inner, nil
}

// showClusterStats is GET /stats?scope=cluster.
func (s *Server) showClusterStats(ctx *fasthttp.RequestCtx, q PageQuery) error {
	if _, _, err := splitCursor(q.After); err != nil {
		return badParam("cursor", err.Error())
	}
	parts, missing, err := s.nodeParts(q)
	if err != nil {
		return unavailable("the stats of the cluster cannot be had now: %v", err)
	}
	if slices.ContainsFunc(parts, func(p NodeStats) bool { return p.BadCursor }) {
		return badParam("cursor", ErrCursor.Error())
	}
	answerJSON(ctx, fasthttp.StatusOK, s.appendClusterStats(nil, parts, missing, q.Limit))
	return nil
}

// parts returns the parts of all nodes in the order of their ids, and the ids of
// those that did not answer.
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
			return nil, nil, fmt.Errorf("other nodes cannot be asked: %w", err)
		}
		parts, missing = append(parts, others...), silent
	}
	slices.SortStableFunc(parts, func(a, b NodeStats) int { return cmp.Compare(a.NodeID, b.NodeID) })
	parts = slices.CompactFunc(parts, func(a, b NodeStats) bool { return a.NodeID == b.NodeID })
	slices.Sort(missing)
	return parts, missing, nil
}

func (s *Server) appendClusterStats(dst []byte, parts []NodeStats, missing []string, limit int) []byte {
	var total int64
	var delivery stats.Delivery
	var nodes []json.RawMessage
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

// joinPages returns the connections of the first nodes, as many as fit, and where
// to go on if there are more. A node's page is taken whole or not at all, for
// only its end has a cursor; so the list may be shorter than the limit.
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
