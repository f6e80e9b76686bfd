// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/delivery/tracker"
)

const (
	// gapHold is how long another node may take to write down that a connection began
	// there: a gap is not filled before. A node that is killed meanwhile loses nothing by
	// it, because the next resume fills the same gap.
	gapHold = time.Second
	maxHeld = 100_000
)

// heldGaps are what gateways that resumed at this node must have received, until it is
// sure that none of their connections to other nodes began in between. Any goroutine may
// use it; the zero value is ready.
type heldGaps struct {
	mu    sync.Mutex
	queue []*heldGap            // in the order in which they are due
	of    map[string][]*heldGap // by gateway
}

// A heldGap begins at the newest start that is known; it is empty when nothing is.
type heldGap struct {
	tracker.Progress
	at time.Time // when it is due
}

// hold holds a gap, unless there are too many.
func (h *heldGaps) hold(gap tracker.Progress, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) >= maxHeld {
		return false
	}
	if h.of == nil {
		h.of = make(map[string][]*heldGap)
	}
	g := &heldGap{gap, now.Add(gapHold)}
	h.queue = append(h.queue, g)
	h.of[gap.GatewayID] = append(h.of[gap.GatewayID], g)
	return true
}

// start takes it that a connection of a gateway began at a place, without what is before.
func (h *heldGaps) start(p tracker.Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range h.of[p.GatewayID] {
		if g.From < p.To && p.To <= g.To {
			g.From = p.To
		}
	}
}

// due returns the gaps that are due, or all, and lets go of them.
func (h *heldGaps) due(now time.Time, all bool) (gaps []tracker.Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.queue) > 0 && (all || !h.queue[0].at.After(now)) {
		g := h.queue[0]
		gaps = append(gaps, g.Progress)
		h.queue[0] = nil
		h.queue = h.queue[1:]
		if h.of[g.GatewayID] = h.of[g.GatewayID][1:]; len(h.of[g.GatewayID]) == 0 {
			delete(h.of, g.GatewayID)
		}
	}
	return gaps
}
