// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/shard"
)

const (
	// lineageWait is how long a gateway that resumes waits for this node to learn of an
	// epoch that another node knows.
	lineageWait = time.Second
	lineagePoll = 10 * time.Millisecond
)

// ResumeFrom returns how a gateway resumes after an event id. latest leaves out events
// that are superseded by a newer one with the same key.
func (d *Dispatcher) ResumeFrom(ctx context.Context, id string, latest bool) *shard.Resume {
	c, err := event.ParseCursor(id)
	if err != nil {
		return &shard.Resume{ResyncReason: shard.ResyncUnknown}
	}
	lineage := d.awaitLineage(ctx, c)
	switch _, known := lineage.Clamp(c); {
	case !known:
		return &shard.Resume{ResyncReason: shard.ResyncEpoch}
	case !lineage.Contains(c), c.Seq > d.Log.Last().Seq && d.isAhead(ctx, c.Seq):
		return &shard.Resume{ResyncReason: shard.ResyncAhead}
	}
	return &shard.Resume{After: c.Seq, Position: c, Lineage: lineage, Latest: latest, Oldest: d.Log.First()}
}

// awaitLineage returns the lineage that the shards have. If it does not contain an event
// id and the log does, it waits a while for the shards to get there.
func (d *Dispatcher) awaitLineage(ctx context.Context, c event.Cursor) *eventlog.Lineage {
	lineage := d.Lineage()
	if lineage.Contains(c) || !d.Log.Shared() {
		return lineage
	}
	if _, ok, err := d.Log.Find(ctx, c); err != nil || !ok {
		return lineage
	}
	ctx, cancel := context.WithTimeout(ctx, lineageWait)
	defer cancel()
	for ; ctx.Err() == nil && !lineage.Contains(c); lineage = d.Lineage() {
		sleep(ctx, lineagePoll)
	}
	return lineage
}

// isAhead reports whether a sequence is after the end of the log. It asks the log,
// because another node may have appended events that are not known here.
func (d *Dispatcher) isAhead(ctx context.Context, seq uint64) bool {
	_, last, err := d.Log.Bounds(ctx)
	return err == nil && seq > last
}
