// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"fmt"
	"math"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// Epoch returns the newest epoch. Each start begins one, unless the log is shared. A shared log
// begins one when its history has changed, or can have changed.
func (l *Log) Epoch() uint64 { return l.Lineage().Epoch() }

// Lineage returns the log's lineage as this node knows it now.
func (l *Log) Lineage() *Lineage { return l.history.lineage() }

// Last returns the position of the newest event in the log. Its sequence is zero if there has
// never been one. It is not before a position that an append or a tail has returned, unless
// the log has gone back since.
func (l *Log) Last() event.Cursor { return l.CursorOf(l.history.last.load()) }

// First returns the sequence of the oldest event retained, as of the last check, which is
// made every two seconds.
func (l *Log) First() uint64 { return l.first.Load() }

// CursorOf returns the id of the event with a sequence.
func (l *Log) CursorOf(seq uint64) event.Cursor { return l.Lineage().CursorOf(seq) }

// Resolve returns the sequence of a position. It reports whether the log's history, as far as
// this node knows it now, contains the position: that of an event, which can have left the log
// since, or the beginning of the log.
func (l *Log) Resolve(c event.Cursor) (seq uint64, ok bool) {
	return c.Seq, l.Lineage().Contains(c) && c.Seq <= l.history.last.load()
}

// Find is Resolve. It asks a shared log about a position that this node does not know.
func (l *Log) Find(ctx context.Context, c event.Cursor) (seq uint64, ok bool, err error) {
	if seq, ok = l.Resolve(c); ok || !l.shared {
		return seq, ok, nil
	}
	if err := l.history.refresh(ctx); err != nil {
		return 0, false, err
	}
	seq, ok = l.Resolve(c)
	return seq, ok, nil
}

// Valid returns the sequence up to which records of an epoch's history are true of the present
// history: math.MaxUint64 when that is the newest epoch. Epoch 0 is the one that the log had
// before there were markers.
func (l *Log) Valid(ctx context.Context, epoch uint64) uint64 {
	if epoch == 0 {
		epoch = l.history.first
	}
	end := event.Cursor{Epoch: epoch, Seq: math.MaxUint64}
	seq, ok := l.Lineage().Clamp(end)
	if !ok && l.shared && l.history.refresh(ctx) == nil { // another node can have begun it just now
		seq, _ = l.Lineage().Clamp(end)
	}
	return seq
}

// info asks for the state of the stream of events.
func (l *Log) info(ctx context.Context) (storage.Info, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return info, fmt.Errorf("%w: %w%s", ErrUnavailable, err, l.store.LastError())
	}
	return info, nil
}

// Bounds asks the log for the sequences of the oldest and the newest event. First is last+1
// when no event is retained.
func (l *Log) Bounds(ctx context.Context) (first, last uint64, err error) {
	branch := l.Lineage().branch
	info, err := l.info(ctx)
	if err != nil {
		return 0, 0, err
	}
	first = max(info.First, l.Lineage().floor+1)
	l.first.Store(first)
	l.history.last.advance(branch, info.Last)
	return first, info.Last, nil
}

// Position asks the log for the position of its newest event. An event whose append has
// returned by now, on any node, is not after it.
func (l *Log) Position(ctx context.Context) (event.Cursor, error) {
	if !l.shared { // every append came from this process
		return l.Last(), nil
	}
	branch := l.Lineage().branch
	info, err := l.info(ctx)
	if err != nil {
		return event.Cursor{}, err
	}
	if info.Quorum != nil {
		return event.Cursor{}, info.Quorum
	}
	l.history.last.advance(branch, info.Last)
	if err := l.history.awaitIDs(ctx, info.Last); err != nil {
		return event.Cursor{}, err
	}
	return l.CursorOf(info.Last), nil
}

// Back returns the position after which the newest events are, of about so many bytes.
func (l *Log) Back(ctx context.Context, bytes int64) (event.Cursor, error) {
	var info storage.Info
	err := l.store.Retry(ctx, requestTimeout, func(ctx context.Context) (err error) {
		info, err = l.stream.Info(ctx)
		return err
	})
	if err != nil {
		return event.Cursor{}, fmt.Errorf("%w: %w%s", ErrUnavailable, err, l.store.LastError())
	}
	if info.Messages == 0 {
		return l.CursorOf(info.Last), nil
	}
	events := uint64(bytes) / max(info.Bytes/info.Messages, 1)
	if events >= info.Last-info.First {
		return l.CursorOf(info.First - 1), nil
	}
	return l.CursorOf(info.Last - events), nil
}

// Purge removes every event from the log, as retention would in time. Their positions are not
// given to other events.
func (l *Log) Purge(ctx context.Context) error {
	if err := l.stream.Purge(ctx); err != nil {
		return fmt.Errorf("%w: purge: %w", ErrUnavailable, err)
	}
	_, _, err := l.Bounds(ctx)
	return err
}
