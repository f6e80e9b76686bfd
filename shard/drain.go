// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"math"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A drainPlan spreads the closing of a shard's connections over a time, so that
// their gateways do not all knock on another node's door at once.
type drainPlan struct {
	start  instant
	over   time.Duration
	total  int // connections when it began
	closed int // by the plan
	next   int // the slot to close next
	done   chan<- struct{}
	told   bool
}

// step closes as many connections as are due by now.
func (d *drainPlan) step(s *state) {
	if elapsed := s.now - d.start; elapsed < instant(d.over) {
		d.closeUpTo(s, int(float64(d.total)*float64(elapsed)/float64(d.over)))
	} else {
		d.next = 0 // also those that came since
		d.closeUpTo(s, math.MaxInt)
	}
	if s.conns.len() == 0 && !d.told {
		d.told = true
		d.done <- struct{}{} // has room for every shard
	}
}

// closeUpTo goes on closing until it has closed so many in all.
func (d *drainPlan) closeUpTo(s *state, due int) {
	for ; d.closed < due && d.next < len(s.conns.items); d.next++ {
		if c := s.conns.items[d.next]; c != nil && c.state == open {
			c.close(event.Shutdown, "")
			d.closed++
		}
	}
}
