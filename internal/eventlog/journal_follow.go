// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// Await returns nil when there is a record after a sequence, or ctx's error when ctx ends
// first.
func (j *Journal) Await(ctx context.Context, after uint64) error {
	ctx, done, err := j.log.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	// The first record ends the reader. Others can come before it has ended.
	found := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = j.follow(ctx, after, func() {}, func(Record) {
		if ctx.Err() == nil {
			close(found)
			cancel()
		}
	})
	select {
	case <-found:
		return nil
	default:
		return err
	}
}

// Follow calls f with every record after a sequence, then synced, and then f with every later
// record until ctx ends, on one goroutine at a time. It returns ctx's error, or why it cannot
// continue.
func (j *Journal) Follow(ctx context.Context, after uint64, synced func(), f func(Record)) error {
	ctx, done, err := j.log.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	return j.follow(ctx, after, synced, f)
}

// follow is Follow inside a call of Log.reading. When the history goes back, it continues after
// the last sequence that both histories have in common. So a record can come twice, with
// different ids; none is missed.
func (j *Journal) follow(ctx context.Context, after uint64, synced func(), f func(Record)) error {
	for known := (*Lineage)(nil); ; {
		lineage, branched := j.watch()
		if known != nil {
			after = min(after, known.Common(lineage))
		}
		known = lineage
		err := j.followBranch(ctx, &after, branched, synced, f)
		if !errors.Is(err, errWentBack) {
			return err
		}
	}
}

// followBranch follows the journal until its history goes back, and then returns errWentBack.
// After is updated with each record, so that the next call continues there. It ends when the
// connection is lost, too: a consumer of its own would not notice that for many seconds.
func (j *Journal) followBranch(ctx context.Context, after *uint64, branched <-chan struct{}, synced func(), f func(Record)) error {
	ctx, cancel, err := j.log.store.Session(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	j.log.readers.Go(func() {
		select {
		case <-branched:
			cancel()
		case <-over:
		}
	})
	err = j.read(ctx, after, synced, f)
	switch {
	case isClosed(branched):
		return errWentBack
	case ctx.Err() != nil:
		return storage.Ended(ctx)
	}
	return fmt.Errorf("%w: read: %w", ErrUnavailable, err)
}

// read passes records to f until an error ends it. It calls synced when it has passed the newest
// record that existed when it began.
func (j *Journal) read(ctx context.Context, after *uint64, synced func(), f func(Record)) error {
	_, last, err := j.Bounds(ctx)
	if err != nil {
		return err
	}
	return j.stream.Follow(ctx, storage.Range{After: *after}, func(pending uint64) {
		if pending == 0 {
			synced()
			last = 0
		}
	}, func(m storage.Message) error {
		*after = m.Seq
		switch r := j.record(m); {
		case m.Subject == j.marker:
			if j.shared {
				j.readMarker(m.Data, r.Seq)
			}
		case j.valid(r):
			f(r)
		default:
			j.skip(r)
		}
		// The record with the last sequence can have been purged.
		if last > 0 && (m.Seq >= last || m.Pending == 0) {
			synced()
			last = 0
		}
		return nil
	})
}

// isClosed reports whether a channel is closed that nobody sends to.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
