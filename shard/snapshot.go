// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatecast/gatecast/stats"
)

// ErrPageCursor is returned by [Router.Connections] for a cursor that it has not
// returned.
var ErrPageCursor = errors.New("not a cursor of a page of connections")

// Connections returns up to limit connections after a cursor: those of one gateway, or
// all if gatewayID is empty. An empty cursor is the beginning; next is the cursor of
// the next page, empty at the end. A connection that is open throughout is on exactly
// one page. Any goroutine but a loop's can call it. A page costs each loop that it
// touches one command, so limit should be some hundreds. After [Router.Stop] it returns
// [ErrStopped].
func (r *Router) Connections(gatewayID, after string, limit int) (page []stats.Connection, next string, err error) {
	position, err := parsePageCursor(after, len(r.shards))
	if err != nil {
		return nil, "", err
	}
	if gatewayID != "" {
		sh := r.shardOf(gatewayID)
		if !sh.call(func(s *state) { page, position.slot = s.pageOf(gatewayID, position.slot, limit) }) {
			return nil, "", ErrStopped
		}
		if position.slot < 0 {
			return page, "", nil
		}
		return page, position.String(), nil
	}
	for ; position.shard < len(r.shards); position = (pageCursor{shard: position.shard + 1}) {
		if !r.shards[position.shard].call(func(s *state) { page, position.slot = s.page(page, position.slot, limit) }) {
			return nil, "", ErrStopped
		}
		if position.slot >= 0 {
			return page, position.String(), nil
		}
	}
	return page, "", nil
}

// A pageCursor is where a page ended.
type pageCursor struct{ shard, slot int }

func (p pageCursor) String() string { return fmt.Sprintf("%d.%d", p.shard, p.slot) }

// parsePageCursor parses a cursor that String returned for a router with so many
// shards.
func parsePageCursor(s string, shards int) (p pageCursor, err error) {
	if s == "" {
		return p, nil
	}
	if _, err := fmt.Sscanf(s, "%d.%d", &p.shard, &p.slot); err != nil {
		return p, ErrPageCursor
	}
	if p.shard < 0 || p.shard >= shards || p.slot < 0 || p.String() != s {
		return p, ErrPageCursor
	}
	return p, nil
}

// page appends connections, beginning at a slot, until page has limit of them. It
// returns the next slot, or -1 when there are no more.
func (s *state) page(page []stats.Connection, slot, limit int) ([]stats.Connection, int) {
	for ; slot < len(s.conns.items); slot++ {
		if len(page) >= limit {
			return page, slot
		}
		if c := s.conns.items[slot]; c != nil {
			page = append(page, c.snapshot())
		}
	}
	return page, -1
}

// pageOf is page for the connections of one gateway.
func (s *state) pageOf(gatewayID string, slot, limit int) (page []stats.Connection, next int) {
	g := s.gateways[gatewayID]
	if g == nil {
		return nil, -1
	}
	conns := slices.SortedFunc(slices.Values(g.conns), func(a, b *conn) int { return cmp.Compare(a.slot, b.slot) })
	for _, c := range conns {
		if int(c.slot) < slot {
			continue
		}
		if len(page) == limit {
			return page, int(c.slot)
		}
		page = append(page, c.snapshot())
	}
	return page, -1
}

// snapshot returns the connection's row in lists.
func (c *conn) snapshot() stats.Connection {
	status := "connected"
	if c.state == closing {
		status = "closing"
	}
	return stats.Connection{
		GatewayID:     c.gatewayID,
		ConnectionID:  c.id,
		ConnectedAt:   time.Unix(0, c.connected),
		LastHeartbeat: c.s.wall(c.lastHeard),
		Status:        status,
		RemoteAddr:    c.remote.unpack(),
		EventsSent:    c.sent,
		QueuedBytes:   c.pending(),
		Cursor:        c.cursor(),
		Shard:         c.s.index,
	}
}
