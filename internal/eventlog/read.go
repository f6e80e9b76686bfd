// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// ErrNotRetained says that the log does not have, or no longer has, an event at a position.
var ErrNotRetained = errors.New("not retained")

// Read calls f with every event after a sequence, in order, up to the newest at the time of the
// call, whose sequence it returns. An error of f ends it and is returned. A message that is not
// an event is an Entry without a body. Where the sequence jumps, retention has removed events.
func (l *Log) Read(ctx context.Context, after uint64, f func(Entry) error) (upTo uint64, err error) {
	return l.ReadIn(ctx, nil, after, f)
}

// ReadIn is Read of the history of a lineage. It is an error if that is not the present history,
// or if the history goes back in the meantime.
func (l *Log) ReadIn(ctx context.Context, in *Lineage, after uint64, f func(Entry) error) (upTo uint64, err error) {
	ctx, done, err := l.reading(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	first, last, err := l.Bounds(ctx)
	if err != nil {
		return 0, err
	}
	if first > last {
		return last, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Cancelling ctx ends the reader, but calls that are in progress still come.
	var failed error
	t := &tail{log: l, lineage: in, last: max(after, first-1), f: func(e Entry) {
		if failed != nil {
			return
		}
		if failed = f(e); failed != nil {
			cancel()
		}
	}}
	err = t.catchUp(ctx, last)
	switch {
	case failed != nil: // even when the end was reached before it was noticed
		return 0, failed
	case err != nil:
		return 0, err
	}
	return last, nil
}

// Get returns the event with a sequence, or [ErrNotRetained].
func (l *Log) Get(ctx context.Context, seq uint64) (Entry, error) {
	branch := l.Lineage().branch
	m, err := l.stream.Get(ctx, seq)
	switch {
	case errors.Is(err, storage.ErrNoMessage):
		return Entry{}, fmt.Errorf("event %v: %w", l.CursorOf(seq), ErrNotRetained)
	case err != nil:
		return Entry{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := l.history.awaitIDs(ctx, seq); err != nil {
		return Entry{}, err
	}
	e, err := l.entry(&m)
	if err != nil { // a marker, or not written by gatecast
		return Entry{}, fmt.Errorf("event %v: %w: %w", e.Cursor, ErrNotRetained, err)
	}
	e.Receipt = m.Header.Get(headerReceipt)
	return e, l.same(branch)
}

// same returns an error if the log's branch is not a given one, or if that is not known.
func (l *Log) same(branch uint64) error {
	switch {
	case l.history.unsure.Load():
		return errUnsure
	case l.Lineage().branch != branch:
		return errWentBack
	}
	return nil
}
