// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"slices"
	"time"

	"github.com/gatecast/gatecast/internal/delivery/tracker"
	"github.com/gatecast/gatecast/shard"
)

// anyResumed reports whether a connection in the reports resumed from a position.
func anyResumed(reports []report) bool {
	return slices.ContainsFunc(reports, func(rep report) bool {
		return slices.ContainsFunc(rep.shard.Starts, func(s shard.ConnectionStart) bool { return s.Resumed })
	})
}

// recordStart records where a connection began, and what its gateway must have received
// before. It reports whether that changed anything.
func (r *Recorder) recordStart(s shard.ConnectionStart) (changed bool) {
	start := tracker.Progress{GatewayID: s.GatewayID, From: s.After, To: s.After}
	if !s.Resumed {
		r.gaps.shorten(start)
		return r.applyStart(start)
	}
	gap, ok := r.tracker.Gap(s.GatewayID, s.After)
	if !ok {
		gap = start
	}
	// Another node may have written a start in between that has not arrived here.
	if r.Log.Shared() && r.gaps.hold(gap, time.Now()) {
		return false
	}
	return r.applyGap(gap)
}

// recordGaps records the gaps that were held long enough, or all.
func (r *Recorder) recordGaps(ctx context.Context, now time.Time, all bool) {
	valid := r.Log.Valid(ctx, r.epoch)
	for _, gap := range r.gaps.due(now, all) {
		if gap.To <= valid {
			r.applyGap(gap)
		}
	}
}

// applyGap records what a gateway that resumed has received, and where its connection
// began. It reports whether that changed anything.
func (r *Recorder) applyGap(gap tracker.Progress) (changed bool) {
	if gap.From < gap.To {
		r.apply(tracker.Updates{Progress: []tracker.Progress{gap}})
	}
	return r.applyStart(tracker.Progress{GatewayID: gap.GatewayID, From: gap.To, To: gap.To}) || gap.From < gap.To
}

// applyStart records where a connection began. It reports whether that changed anything.
func (r *Recorder) applyStart(start tracker.Progress) (changed bool) {
	if r.tracker.HasStart(start.GatewayID, start.To) {
		return false
	}
	r.apply(tracker.Updates{Progress: []tracker.Progress{start}})
	return true
}
