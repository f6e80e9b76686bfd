// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"sync/atomic"
	"time"
)

// The connections of a gateway in the last hour are the most that it had at once in any of
// replicaWindows windows of replicaWindow.
const (
	replicaWindow  = 20 * time.Minute
	replicaWindows = 4 // one is the current one
)

// A replicas remembers how many connections gateways had at once in the last hour, for the
// few gateways that have so many that it matters. Its user synchronizes the calls.
//
// The counts are read at attempts and once per window, which costs nothing while a
// connection lives. A window in which no gateway tried to connect does not count as one:
// while a node is quiet, no gateway loses its burst.
type replicas struct {
	atLeast int32 // connections from which a gateway is remembered; constant
	of      map[string]*replicaCount
	next    time.Time // when the next window begins
}

// A replicaCount is the connections of one gateway to this node.
type replicaCount struct {
	live  *atomic.Int32
	peaks [replicaWindows]int32 // per window, the current one first
}

// lastHour returns the most connections that a gateway had at once in the last hour. conns is how
// many it has now.
func (r *replicas) lastHour(g *Grant, conns int32, now time.Time) int32 {
	if !now.Before(r.next) {
		r.nextWindow()
		r.next = now.Add(replicaWindow)
	}
	if c := r.of[g.Gateway.ID]; c != nil {
		return max(conns, c.most())
	}
	return conns
}

// connects records that a gateway will have a number of connections.
func (r *replicas) connects(g *Grant, conns int32) {
	c := r.of[g.Gateway.ID]
	if c == nil {
		if conns < r.atLeast || len(r.of) >= maxMeters || g.Live == nil {
			return
		}
		c = new(replicaCount)
		r.of[g.Gateway.ID] = c
	}
	c.live = g.Live // a gateway that was removed and added again has another one
	c.peaks[0] = max(c.peaks[0], conns)
}

// nextWindow begins a window for all gateways, and forgets those that had few connections.
func (r *replicas) nextWindow() {
	for id, c := range r.of {
		copy(c.peaks[1:], c.peaks[:])
		if c.peaks[0] = c.live.Load(); c.most() < r.atLeast {
			delete(r.of, id)
		}
	}
}

// most returns the most connections of all windows.
func (c *replicaCount) most() int32 {
	most := c.peaks[0]
	for _, n := range c.peaks[1:] {
		most = max(most, n)
	}
	return most
}
