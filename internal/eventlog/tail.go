// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

const (
	// tailEvents and tailBytes bound what waits for a tail's function, in the feed and again
	// in flight from the store. A larger window was measured to be no faster.
	tailEvents = 4096
	tailBytes  = 8 << 20

	// lookEvery is how often a tail checks whether the store has more than the feed.
	lookEvery = 5 * time.Second
)

// An Entry is an event as the log has it.
type Entry struct {
	Cursor    event.Cursor
	Target    event.Target
	Key       string    // of the event; empty: none
	Body      []byte    // as event.AppendBody made it, without an id; must not be changed
	Published time.Time // the timestamp in the body, else when the log stored it
	Receipt   string    // of the event; empty: none; only set by [Log.Get]
	// Lost says that events before this entry, which has no body, can be lost.
	Lost bool
}

// Tail calls f with every event after a position, in order and once each, and then with new
// events as they are appended, until ctx ends. It returns ctx's error; or one that matches
// [ErrUnavailable] when the log is closed. The zero Cursor is before all events.
//
// F is called on one goroutine at a time, and not after Tail has returned. It can be slow: the
// log does not wait for it, and holds at most some 8,192 events or 16 MiB for it.
//
// A message that is not an event is an Entry without a body. Events that retention removed
// before they were read are skipped: the sequence jumps. After must be a position in the log's
// history. When the history goes back, sequences come again, with other ids.
func (l *Log) Tail(ctx context.Context, after event.Cursor, f func(Entry)) error {
	lineage := l.Lineage()
	if !after.IsZero() && !lineage.Contains(after) {
		return fmt.Errorf("event log: %v is a position in another log, or in another history of this one, which is at %v", after, l.Last())
	}
	if last := l.Last(); after.Seq > last.Seq {
		return fmt.Errorf("event log: %v is after the newest event, %v", after, last)
	}
	return l.Follow(ctx, lineage, after.Seq, Follower{Event: f})
}

// A Follower is what [Log.Follow] calls: on one goroutine at a time, and not after Follow has
// returned. Functions can be nil, except for Event.
type Follower struct {
	// Event is called with every event, as Tail's function is.
	Event func(Entry)
	// LineageChanged is called when the log has another lineage than the one the follower knew,
	// before any event of the new lineage. Common is the last sequence that both histories
	// have in common. Event is called again with what comes after it.
	LineageChanged func(l *Lineage, common uint64)
	// Reading is called when the log can be read.
	Reading func()
}

// Follow is Tail for a follower that knows an earlier lineage of the log and has read up to a
// sequence of it. It continues from there, or from where the histories part.
func (l *Log) Follow(ctx context.Context, known *Lineage, after uint64, f Follower) error {
	ctx, done, err := l.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	t := &tail{log: l, f: f.Event, lineageChanged: f.LineageChanged, reading: f.Reading, lineage: known, last: after, live: true}
	if l.shared {
		l.tails.Add(1)
		defer l.tails.Add(-1)
		return t.runShared(ctx)
	}
	return t.run(ctx)
}

// A tail is one call of Follow or Read. One goroutine at a time owns it: that of the call, or
// that of the replay in progress.
type tail struct {
	// Constant.
	log            *Log
	f              func(Entry)
	lineageChanged func(*Lineage, uint64) // can be nil
	reading        func()                 // can be nil
	live           bool                   // it counts skipped messages; reading again does not

	in      *intake
	lineage *Lineage // that last belongs to; nil: the present one
	last    uint64   // the last sequence that f was called with or that was skipped
	stored  uint64   // the newest sequence of the store at the last look
}

// runShared reads a shared log from the store only: what other nodes append is not in the feed.
func (t *tail) runShared(ctx context.Context) error {
	for {
		lineage, _ := t.log.history.watch()
		t.changeLineage(lineage)
		if err := t.catchUp(ctx, math.MaxUint64); !errors.Is(err, errWentBack) {
			return err
		}
	}
}

// run reads a log that only this process appends to: what is appended while it runs from the
// feed, at once; what was appended before, or is missing in the feed, from the store.
func (t *tail) run(ctx context.Context) error {
	t.changeLineage(t.log.Lineage())
	t.in = t.log.feed.join()
	defer t.log.feed.leave(t.in)
	// The feed does not have what was appended before join.
	if err := t.catchUp(ctx, t.log.Last().Seq); err != nil {
		return err
	}
	t.began()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var batch []Entry
	for {
		var err error
		select {
		case <-t.in.wake:
			batch = t.in.take(batch)
			err = t.takeAll(ctx, batch)
		case <-look.C:
			err = t.look(ctx)
		case <-ctx.Done():
			err = storage.Ended(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// errWentBack ends a read when the log's history is not the one that it began with.
var errWentBack = fmt.Errorf("%w: its history has changed", ErrUnavailable)

// changeLineage changes to a lineage, and goes back to what it has in common with the one before.
func (t *tail) changeLineage(l *Lineage) {
	if before := t.lineage; before != nil && before != l {
		common := before.Common(l)
		t.last = min(t.last, common)
		if t.lineageChanged != nil {
			t.lineageChanged(l, common)
		}
	}
	t.lineage = l
}

// began reports that the log can be read.
func (t *tail) began() {
	if t.reading != nil {
		t.reading()
	}
}

// takeAll takes entries of the feed until ctx ends. Its function can be slow, so ctx is checked
// before each.
func (t *tail) takeAll(ctx context.Context, batch []Entry) error {
	for i := range batch {
		if ctx.Err() != nil {
			return storage.Ended(ctx)
		}
		if err := t.take(ctx, &batch[i]); err != nil {
			return err
		}
	}
	return nil
}

// take takes an entry of the feed, after what is missing before it.
func (t *tail) take(ctx context.Context, e *Entry) error {
	before := e.Cursor.Seq - 1
	if e.Body == nil {
		before = e.Cursor.Seq
	}
	if err := t.catchUp(ctx, before); err != nil {
		return err
	}
	if e.Cursor.Seq > t.last { // otherwise it came from the store
		t.last = e.Cursor.Seq
		t.f(*e)
	}
	return nil
}

// look finds events whose answer was lost, so that they are not in the feed. An event that the
// log already had at the last look must have come by now.
func (t *tail) look(ctx context.Context) error {
	if err := t.catchUp(ctx, t.stored); err != nil {
		return err
	}
	info, err := t.log.stream.Info(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return storage.Ended(ctx)
		}
		t.recovered(err)
		return nil
	}
	t.stored = info.Last
	return nil
}

// catchUp reads from the store until the tail has reached a sequence.
func (t *tail) catchUp(ctx context.Context, to uint64) error {
	if t.last >= to {
		return nil
	}
	lineage, branched := t.log.history.watch()
	if t.lineage != nil && lineage.branch != t.lineage.branch {
		return errWentBack
	}
	r := &replay{tail: t, ctx: ctx, branch: lineage.branch, branched: branched, to: to, done: make(chan struct{})}
	return r.run(ctx)
}

// recovered is called with an error that does not end the tail.
func (t *tail) recovered(err error) {
	t.log.cfg.Logger.Warn("event log: a tail continues after an error", "err", err)
	if t.log.shared { // what it reads next can be another history
		t.log.history.unsure.Store(true)
		t.log.checkSoon()
	}
}
