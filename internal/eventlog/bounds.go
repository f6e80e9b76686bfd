// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/event"
)

// boundsEvery is how often the log is asked for its bounds.
const boundsEvery = 2 * time.Second

// watch checks the histories until the log closes, and with that keeps first and last near
// what they are. A tail that runs knows last at once; what is learned here is how far a
// shared log is ahead of a tail that is late.
func (l *Log) watch() {
	timer := time.NewTimer(boundsEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.kick:
		case <-l.life.Done():
			return
		}
		next := boundsEvery
		if !l.checkAll() {
			next = recheck
		}
		l.checkpoint()
		timer.Reset(next)
	}
}

// checkAll checks the histories, and reports whether all are in order.
func (l *Log) checkAll() (ok bool) {
	ctx, cancel := context.WithCancel(l.life)
	defer cancel()
	l.abort.Store(&cancel)
	ok = true
	for i, h := range l.histories() {
		err := h.check(ctx)
		if i == 0 { // of the events
			l.lost.Store(err != nil && l.life.Err() == nil)
		}
		if err == nil {
			h.failing = false
		} else if l.life.Err() == nil {
			ok = false
			if h.failing {
				continue
			}
			h.failing = true
			l.cfg.Logger.Warn("event log: a stream could not be checked; trying again", "stream", h.name, "err", err)
		}
	}
	return ok
}

// checkpoint notes how much the log's folder holds.
func (l *Log) checkpoint() {
	if l.held == nil {
		return
	}
	l.held.note(streamName, extent{Last: l.history.last.load()})
	ctx, cancel := context.WithTimeout(l.life, boundsEvery)
	defer cancel()
	if err := l.server.(*embedded).checkpoint(ctx, l.js, time.Now()); err != nil && l.life.Err() == nil {
		l.cfg.Logger.Warn("event log: how much the store holds cannot be written down", "err", err)
	}
}

// Bounds asks the log for the sequences of the oldest and the newest event. First
// is one behind last when nothing is retained.
func (l *Log) Bounds(ctx context.Context) (first, last uint64, err error) {
	branch := l.Lineage().branch
	info, err := l.stream.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w%s", ErrUnavailable, err, l.server.because())
	}
	s := info.State
	if s.Msgs == 0 {
		s.FirstSeq = s.LastSeq + 1
	}
	s.FirstSeq = max(s.FirstSeq, l.Lineage().floor+1)
	l.first.Store(s.FirstSeq)
	l.history.last.advance(branch, s.LastSeq)
	return s.FirstSeq, s.LastSeq, nil
}

// Position asks the log for the position of its newest event. No event that an append
// on any node has returned by now lies after it.
func (l *Log) Position(ctx context.Context) (event.Cursor, error) {
	if !l.server.shared() { // every append was this process's
		return l.Last(), nil
	}
	branch := l.Lineage().branch
	info, err := l.stream.Info(ctx)
	if err == nil {
		// A leader that has lost the others may not know what their new one took.
		err = quorum(info.Cluster)
	}
	if err != nil {
		return event.Cursor{}, fmt.Errorf("%w: %w%s", ErrUnavailable, err, l.server.because())
	}
	l.history.last.advance(branch, info.State.LastSeq)
	if err := l.history.settle(ctx, info.State.LastSeq); err != nil {
		return event.Cursor{}, err
	}
	return l.CursorOf(info.State.LastSeq), nil
}

// Reachable reports whether the log answered when it was last asked for its
// bounds, some seconds ago at most.
func (l *Log) Reachable() bool {
	return !l.lost.Load() && !l.history.unsure.Load() && l.conn.IsConnected()
}

// First returns the sequence of the oldest event retained, as of some seconds ago
// at most.
func (l *Log) First() uint64 { return l.first.Load() }

// Back returns the place in the log behind which its newest events lie, of about
// so many bytes.
func (l *Log) Back(ctx context.Context, bytes int64) (event.Cursor, error) {
	var info *jetstream.StreamInfo
	err := l.patiently(ctx, openTry, func(ctx context.Context) (err error) {
		info, err = l.stream.Info(ctx)
		return err
	})
	if err != nil {
		return event.Cursor{}, fmt.Errorf("%w: %w%s", ErrUnavailable, err, l.server.because())
	}
	s := info.State
	if s.Msgs == 0 {
		return l.CursorOf(s.LastSeq), nil
	}
	events := uint64(bytes) / max(s.Bytes/s.Msgs, 1)
	if events >= s.LastSeq-s.FirstSeq {
		return l.CursorOf(s.FirstSeq - 1), nil
	}
	return l.CursorOf(s.LastSeq - events), nil
}

// Shared reports whether other nodes append to the log too.
func (l *Log) Shared() bool { return l.server.shared() }

// Purge takes every event out of the log, as retention would in time. Their
// places are not given out again.
func (l *Log) Purge(ctx context.Context) error {
	if err := l.stream.Purge(ctx); err != nil {
		return fmt.Errorf("%w: purge: %w", ErrUnavailable, err)
	}
	_, _, err := l.Bounds(ctx)
	return err
}
