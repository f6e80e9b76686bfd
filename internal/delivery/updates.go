// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/delivery/tracker"
	"github.com/gatecast/gatecast/internal/eventlog"
)

const (
	// maxCompactAfter is the most bytes of updates that a node writes between compactions.
	maxCompactAfter = 32 << 20
	// updatesBytes is about the size of a record of updates.
	updatesBytes = 64 << 10
	// maxCatchUp bounds the records that are read before a resume is processed.
	maxCatchUp = 1000
)

// follow applies the journal outcomes, which all nodes write, to the tracker. It is one
// of the Recorder's goroutines.
func (r *Recorder) follow(ctx context.Context) {
	var last uint64
	synced := sync.OnceFunc(func() { close(r.synced) })
	var seen *eventlog.Lineage
	for ctx.Err() == nil {
		if lineage, err := r.updates.Lineage(ctx); err == nil {
			if seen != nil && seen.Common(lineage) < last { // the journal went back
				last = seen.Common(lineage)
				r.lostUpdates.Store(true)
			}
			seen = lineage
		}
		r.applied.Store(last)
		err := r.updates.Follow(ctx, last, synced, func(rec eventlog.Record) {
			r.applyRecord(ctx, rec)
			last = rec.Seq
			r.applied.Store(last)
		})
		if ctx.Err() == nil {
			r.Logger.Error("cannot read delivery status from the journal; retrying", "journal", updatesJournal, "error", err)
			sleep(ctx, retryAfter)
		}
	}
}

// applyRecord applies a record of the journal outcomes to the tracker. Applying one
// twice does no harm. Follow and run call it.
func (r *Recorder) applyRecord(ctx context.Context, rec eventlog.Record) {
	updates, err := tracker.Parse(rec.Data)
	if err != nil {
		r.Log.Skipped(eventlog.SourceJournal, fmt.Sprintf("%s at %d", updatesJournal, rec.Seq), err)
		return
	}
	r.tracker.Apply(updates.UpTo(r.Log.Valid(ctx, rec.Epoch)))
	onRemoteStart := r.onRemoteStart.Load()
	for _, p := range updates.Progress {
		if p.From != p.To {
			continue
		}
		r.gaps.shorten(p)
		if onRemoteStart != nil && rec.Name != r.NodeID {
			(*onRemoteStart)(p.GatewayID)
		}
	}
}

// catchUp applies what other nodes have just written: a gateway that resumes here may
// have been connected there a moment ago. It gives up after a while.
func (r *Recorder) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, retryAfter)
	defer cancel()
	after := r.applied.Load()
	if _, last, err := r.updates.Bounds(ctx); err != nil || last <= after {
		return
	}
	records, err := r.updates.Read(ctx, eventlog.JournalQuery{After: after, Limit: maxCatchUp})
	if err != nil {
		return
	}
	for _, rec := range records {
		r.applyRecord(ctx, rec)
	}
}

// writeUpdates writes the unwritten updates.
func (r *Recorder) writeUpdates(ctx context.Context) {
	if len(r.unwritten.Progress) == 0 && len(r.unwritten.Acks) == 0 {
		return
	}
	var records []eventlog.Record
	for part := range r.unwritten.Parts(updatesBytes) {
		data := part.AppendTo(nil)
		r.writtenBytes += len(data)
		records = append(records, eventlog.Record{Name: r.NodeID, Data: data, Epoch: r.epoch})
	}
	r.unwritten = tracker.Updates{}
	r.write(ctx, r.updates, records)
	r.pending.Add(-r.unwrittenBytes)
	r.unwrittenBytes = 0
	if r.writtenBytes > r.compactAfter {
		r.compact(ctx)
	}
}

// compact writes the whole tracker to the journal and removes what this node wrote
// before. If it fails, the next compaction does it.
func (r *Recorder) compact(ctx context.Context) {
	r.writtenBytes = 0
	// Read the epoch before the tracker: what the tracker learns in between is of a newer
	// epoch, and valid in this one too as far as the two agree.
	epoch := r.Log.Epoch()
	_, before, err := r.updates.Bounds(ctx)
	if err != nil {
		return
	}
	for part := range r.tracker.Snapshot {
		r.write(ctx, r.updates, []eventlog.Record{{Name: r.NodeID, Data: part.AppendTo(nil), Epoch: epoch}})
	}
	if err := r.updates.Purge(ctx, r.NodeID, before+1); err != nil && ctx.Err() == nil {
		r.Logger.Warn("cannot remove old delivery status from the journal; the next compaction does it", "journal", updatesJournal, "error", err)
	}
}

// sleep waits for a duration, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
