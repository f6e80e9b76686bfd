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
)

const (
	// What a tail has on its way to its function at most, from the feed and again
	// from the store. A larger window reads the past no faster.
	tailEvents = 4096
	tailBytes  = 8 << 20

	// lookEvery is how often a tail looks whether the store has more than it was
	// told of.
	lookEvery = 5 * time.Second
)

// An Entry is an event as the log has it.
type Entry struct {
	Cursor    event.Cursor
	Target    event.Target
	Key       string    // the event's, empty for none
	Body      []byte    // as event.AppendBody made it, without an id; to keep, not to change
	Published time.Time // what the body says, else when the log took it
	Receipt   string    // the event's, empty for none; set by [Log.Get] only
	// Lost says that events before this one, which has no body, may have been lost.
	Lost bool
}

// Tail calls f with every event after the given place, in order and each once,
// and goes on with new ones as they are appended until ctx ends. It then returns
// ctx's error; when the log closes, one that matches [ErrUnavailable]. The zero
// Cursor is before everything.
//
// F is called from one goroutine at a time and not after Tail has returned. It
// may take its time: the log does not wait for it, and at most some 8,192 events
// or 16 MiB are held for it.
//
// What is no event of ours comes as an Entry without a body. Events that retention
// removed before they were read are passed over: the sequence then jumps. After must be a
// position in the log's history. When that goes back, sequences come again, under
// other names.
func (l *Log) Tail(ctx context.Context, after event.Cursor, f func(Entry)) error {
	lineage := l.Lineage()
	if !after.IsZero() && !lineage.Contains(after) {
		return fmt.Errorf("event log: %v is a place in another log, or of another history of this one, which is at %v", after, l.Last())
	}
	if last := l.Last(); after.Seq > last.Seq {
		return fmt.Errorf("event log: %v is ahead of the newest event, %v", after, last)
	}
	return l.Follow(ctx, lineage, after.Seq, Follower{Event: f})
}

// A Follower is what [Log.Follow] calls: from one goroutine at a time, and not after it
// has returned. Nil functions are not called.
type Follower struct {
	// Event is called with every event, as Tail's function is.
	Event func(Entry)
	// Turned is called when the log has another lineage than the one the follower knew,
	// before any event that it names. The histories have in common what stands up to a
	// sequence: what comes after it is told again.
	Turned func(l *Lineage, common uint64)
	// Reading is called when the log can be read.
	Reading func()
}

// Follow is Tail for a follower that knows an earlier lineage of the log, and has come to
// a sequence of it. It goes on from there, or from where the histories part.
func (l *Log) Follow(ctx context.Context, known *Lineage, after uint64, f Follower) error {
	ctx, done, err := l.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	t := &tail{log: l, f: f.Event, turned: f.Turned, reading: f.Reading, lineage: known, last: after, live: true}
	if l.server.shared() {
		l.tails.Add(1)
		defer l.tails.Add(-1)
	}
	return t.run(ctx)
}

// A tail is one call of Tail. What was appended while it runs comes from the feed,
// at once; what was appended before, or is missing in the feed, from the store.
type tail struct {
	log     *Log
	f       func(Entry)
	turned  func(*Lineage, uint64) // may be nil
	reading func()                 // may be nil
	in      *intake
	lineage *Lineage // that names last; nil: whatever the log has
	last    uint64   // the last sequence f was called with or passed over
	live    bool     // it counts what is not ours; reading the past again does not

	// stored is the newest sequence the store had at the last look.
	stored uint64
}

func (t *tail) run(ctx context.Context) error {
	for t.log.server.shared() { // what others append is not in the feed
		lineage, _ := t.log.history.watch()
		t.turn(lineage)
		if err := t.catchUp(ctx, math.MaxUint64); !errors.Is(err, errWentBack) {
			return err
		}
	}
	t.turn(t.log.Lineage())
	t.in = t.log.feed.join()
	defer t.log.feed.leave(t.in)
	// What is in the log now and not in the feed, the feed joined too late for.
	if err := t.catchUp(ctx, t.log.Last().Seq); err != nil {
		return err
	}
	t.began()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var batch []Entry
	for {
		select {
		case <-t.in.wake:
			batch = t.in.take(batch)
			if err := t.takeAll(ctx, batch); err != nil {
				return err
			}
		case <-look.C:
			if err := t.look(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ended(ctx)
		}
	}
}

// errWentBack ends a read when the log's history is another than when it began.
var errWentBack = fmt.Errorf("%w: its history has changed", ErrUnavailable)

// turn goes over to a lineage, and back to what it has in common with the one before.
func (t *tail) turn(l *Lineage) {
	if before := t.lineage; before != nil && before != l {
		common := before.Common(l)
		t.last = min(t.last, common)
		if t.turned != nil {
			t.turned(l, common)
		}
	}
	t.lineage = l
}

// began says that the log can be read.
func (t *tail) began() {
	if t.reading != nil {
		t.reading()
	}
}

func (t *tail) takeAll(ctx context.Context, batch []Entry) error {
	for i := range batch {
		if ctx.Err() != nil {
			return ended(ctx)
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
	if e.Cursor.Seq > t.last { // the store may have told it by now
		t.last = e.Cursor.Seq
		t.f(*e)
	}
	return nil
}

// look finds events that the log has and no answer told of: those whose answer
// was lost. One that the log already had at the last look should have come.
func (t *tail) look(ctx context.Context) error {
	if err := t.catchUp(ctx, t.stored); err != nil {
		return err
	}
	stream, err := t.log.js.Stream(ctx, streamName)
	if err != nil {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		t.stumbled(err)
		return nil
	}
	t.stored = stream.CachedInfo().State.LastSeq
	return nil
}

// catchUp reads from the store until the tail has reached a sequence.
func (t *tail) catchUp(ctx context.Context, to uint64) error {
	if t.last >= to {
		return nil
	}
	lineage, turned := t.log.history.watch()
	if t.lineage != nil && lineage.branch != t.lineage.branch {
		return errWentBack
	}
	r := &replay{tail: t, ctx: ctx, branch: lineage.branch, turned: turned, to: to, done: make(chan struct{})}
	return r.run(ctx)
}

func (t *tail) stumbled(err error) {
	t.log.cfg.Logger.Warn("event log: a tail stumbled and goes on", "err", err)
	if t.log.server.shared() { // what it reads next may be another history
		t.log.history.unsure.Store(true)
		t.log.checkSoon()
	}
}
