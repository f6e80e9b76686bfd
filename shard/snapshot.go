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

// ErrPageCursor says that a text does not come from an earlier page.
var ErrPageCursor = errors.New("not a cursor of a page of connections")

// Connections returns up to limit connections behind the place after, of one gateway
// or, when gatewayID is empty, of all; next is the place behind them, empty at
// the end. A connection that lives while pages are read is on one of them, once.
// Any goroutine but a loop's may call it; a page costs each loop it touches one
// command, so limit should be some hundreds. After [Router.Stop] it returns
// [ErrStopped].
func (r *Router) Connections(gatewayID, after string, limit int) (page []stats.Connection, next string, err error) {
	place, err := parsePlace(after, len(r.shards))
	if err != nil {
		return nil, "", err
	}
	if gatewayID != "" {
		sh := r.of(gatewayID)
		if !sh.ask(func(s *state) { page, place.slot = s.pageOf(gatewayID, place.slot, limit) }) {
			return nil, "", ErrStopped
		}
		if place.slot < 0 {
			return page, "", nil
		}
		return page, place.String(), nil
	}
	for ; place.shard < len(r.shards); place = (pagePlace{shard: place.shard + 1}) {
		if !r.shards[place.shard].ask(func(s *state) { page, place.slot = s.page(page, place.slot, limit) }) {
			return nil, "", ErrStopped
		}
		if place.slot >= 0 {
			return page, place.String(), nil
		}
	}
	return page, "", nil
}

// A pagePlace is where a page ended.
type pagePlace struct{ shard, slot int }

func (p pagePlace) String() string { return fmt.Sprintf("%d.%d", p.shard, p.slot) }

func parsePlace(s string, shards int) (p pagePlace, err error) {
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

// page appends connections from slot on until page has limit of them. It returns
// the slot to go on from, -1 when none is left.
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

// snapshot tells of the connection.
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
