// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"math"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A drainPlan spreads the closing of a shard's connections over time, so that their
// gateways do not all reconnect to other nodes at once. It is owned by the shard's
// loop.
type drainPlan struct {
	start    instant
	over     time.Duration
	total    int // connections when the drain began
	closed   int // by the plan
	next     int // the slot to close next
	done     chan<- struct{}
	reported bool
}

// step closes the connections that are due by now.
func (d *drainPlan) step(s *state) {
	if elapsed := s.now - d.start; elapsed < instant(d.over) {
		d.closeUpTo(s, int(float64(d.total)*float64(elapsed)/float64(d.over)))
	} else {
		d.next = 0 // also those that have connected since
		d.closeUpTo(s, math.MaxInt)
	}
	if s.conns.len() == 0 && !d.reported {
		d.reported = true
		d.done <- struct{}{} // has room for every shard
	}
}

// closeUpTo continues until it has closed due connections in all.
func (d *drainPlan) closeUpTo(s *state, due int) {
	for ; d.closed < due && d.next < len(s.conns.items); d.next++ {
		if c := s.conns.items[d.next]; c != nil && c.state == open {
			c.close(event.Shutdown, "")
			d.closed++
		}
	}
}
