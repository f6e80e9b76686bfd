// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/delivery/tracker"
)

const (
	// gapHold is how long a gap is held: the time that another node has to write that a
	// connection began there. If this node is killed meanwhile nothing is lost, because the
	// next resume finds the same gap.
	gapHold     = time.Second
	maxHeldGaps = 100_000
)

// heldGaps are gaps of gateways that resumed at this node. Each is held until it is
// certain that none of the gateway's connections to other nodes began within it. Any
// goroutine can use it. The zero value is ready.
type heldGaps struct {
	mu        sync.Mutex
	queue     []*heldGap            // in the order in which they are due
	byGateway map[string][]*heldGap // the same ones, in the same order
}

// A heldGap begins at the newest start that is known. It is empty if the gateway has no
// gap and only its start is to be recorded.
type heldGap struct {
	tracker.Progress
	due time.Time
}

// hold holds a gap. It returns false if there are too many.
func (h *heldGaps) hold(gap tracker.Progress, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) >= maxHeldGaps {
		return false
	}
	if h.byGateway == nil {
		h.byGateway = make(map[string][]*heldGap)
	}
	g := &heldGap{gap, now.Add(gapHold)}
	h.queue = append(h.queue, g)
	h.byGateway[gap.GatewayID] = append(h.byGateway[gap.GatewayID], g)
	return true
}

// shorten shortens the gaps of a gateway that contain the start of one of its
// connections: they begin there.
func (h *heldGaps) shorten(start tracker.Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range h.byGateway[start.GatewayID] {
		if g.From < start.To && start.To <= g.To {
			g.From = start.To
		}
	}
}

// due removes and returns the gaps that are due, or all.
func (h *heldGaps) due(now time.Time, all bool) (gaps []tracker.Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.queue) > 0 && (all || !h.queue[0].due.After(now)) {
		g := h.queue[0]
		gaps = append(gaps, g.Progress)
		h.queue[0] = nil
		h.queue = h.queue[1:]
		if h.byGateway[g.GatewayID] = h.byGateway[g.GatewayID][1:]; len(h.byGateway[g.GatewayID]) == 0 {
			delete(h.byGateway, g.GatewayID)
		}
	}
	return gaps
}
