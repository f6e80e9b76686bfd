// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/delivery/tracker"

	"github.com/google/go-cmp/cmp"
)

// A start within a held gap shortens it; another start does not.
func TestHeldGaps(t *testing.T) {
	var h heldGaps
	now := time.Unix(1000, 0)
	start := func(gateway string, at uint64) { h.shorten(tracker.Progress{GatewayID: gateway, From: at, To: at}) }
	start("g", 7) // no gap is held yet
	for _, p := range []tracker.Progress{{GatewayID: "g", From: 5, To: 10}, {GatewayID: "other", From: 5, To: 10}, {GatewayID: "g", From: 12, To: 20}} {
		if !h.hold(p, now) {
			t.Fatal("the gap is not held")
		}
	}
	for _, at := range []uint64{3, 5, 8, 6, 11, 20, 21} {
		start("g", at)
	}
	if got := h.due(now.Add(gapHold-1), false); len(got) > 0 {
		t.Errorf("gaps are due too early: %v", got)
	}
	want := []tracker.Progress{{GatewayID: "g", From: 8, To: 10}, {GatewayID: "other", From: 5, To: 10}, {GatewayID: "g", From: 20, To: 20}}
	if diff := cmp.Diff(want, h.due(now.Add(gapHold), false)); diff != "" {
		t.Error(diff)
	}
	h.hold(tracker.Progress{GatewayID: "g", From: 1, To: 2}, now)
	if got := h.due(now, true); len(got) != 1 || len(h.byGateway) > 0 || len(h.queue) > 0 {
		t.Errorf("%v are due and %d are held", got, len(h.byGateway))
	}
}
