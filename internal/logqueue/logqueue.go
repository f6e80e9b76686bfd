// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package logqueue keeps log writes from blocking. A [Queue] is in front of a
// [slog.Handler] and passes records to it on a goroutine of its own: standard error can
// be a pipe that nobody reads, and a write to it then blocks for ever.
//
// The queue is limited. Records beyond the limit are dropped and counted. As soon as
// the log can be written again, an audit line says how many were lost. The limits are
// far above what a file or a terminal lags behind, so nothing is lost there.
package logqueue

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// Limits of what waits to be written: records, and bytes of their texts.
const (
	maxLines = 64 << 10
	maxBytes = 16 << 20
)

// auditMessage is the message of audit lines.
const auditMessage = "audit"

// A Queue passes records on. Any goroutine can use it.
type Queue struct {
	// Constant after New.
	next    slog.Handler
	dropped func(lines int)
	lines   chan *line    // pointers, because most of the channel is never used
	quit    chan struct{} // closed when no more records are taken
	ended   chan struct{} // closed when every record taken is written

	bytes     atomic.Int64 // of the records that wait
	closed    atomic.Bool
	lost      atomic.Int64 // lines dropped and not reported yet
	lostAudit atomic.Int64 // of these, audit lines
}

// A line is one record that waits.
type line struct {
	to     slog.Handler
	record slog.Record
	size   int64
}

// New returns a queue in front of next. The caller closes it. dropped is called for
// dropped lines, on any goroutine; it must not block.
func New(next slog.Handler, dropped func(lines int)) *Queue {
	q := &Queue{
		next: next, dropped: dropped,
		lines: make(chan *line, maxLines), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	go q.run()
	return q
}

// Handler returns the handler that never blocks. It formats records later, so the
// values of attributes must not change.
func (q *Queue) Handler() slog.Handler { return handler{q, q.next} }

// Close writes what waits, for at most the timeout. Records that come later are
// dropped.
func (q *Queue) Close(timeout time.Duration) {
	if q.closed.Swap(true) {
		return
	}
	close(q.quit)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-q.ended:
	case <-timer.C:
	}
}

// run writes records until Close. Then it writes what is queued and ends.
func (q *Queue) run() {
	defer close(q.ended)
	for {
		select {
		case l := <-q.lines:
			q.write(l)
		case <-q.quit:
			for {
				select {
				case l := <-q.lines:
					q.write(l)
				default:
					return
				}
			}
		}
	}
}

// write writes one record, and then the count of lost lines if there are any.
func (q *Queue) write(l *line) {
	_ = l.to.Handle(context.Background(), l.record) // an error cannot be logged anywhere
	q.bytes.Add(-l.size)
	q.reportLost()
}

// reportLost writes an audit line if lines were lost.
func (q *Queue) reportLost() {
	lost := q.lost.Swap(0)
	if lost == 0 {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, auditMessage, 0)
	r.AddAttrs(slog.String("action", "log"), slog.String("outcome", "lines_lost"),
		slog.Int64("lines", lost), slog.Int64("auditLines", q.lostAudit.Swap(0)))
	_ = q.next.Handle(context.Background(), r)
}

// push queues a record if there is room.
func (q *Queue) push(l *line) {
	if q.closed.Load() {
		q.drop(l)
		return
	}
	if q.bytes.Add(l.size) > maxBytes {
		q.bytes.Add(-l.size)
		q.drop(l)
		return
	}
	select {
	case q.lines <- l:
	default:
		q.bytes.Add(-l.size)
		q.drop(l)
	}
}

// drop counts a record that is not written.
func (q *Queue) drop(l *line) {
	if l.record.Message == auditMessage {
		q.lostAudit.Add(1)
	}
	q.lost.Add(1)
	q.dropped(1)
}

// A handler is a queue's handler, with the attributes and groups of its logger in to.
type handler struct {
	q  *Queue
	to slog.Handler
}

// Enabled implements [slog.Handler].
func (h handler) Enabled(ctx context.Context, level slog.Level) bool { return h.to.Enabled(ctx, level) }

// Handle implements [slog.Handler].
func (h handler) Handle(_ context.Context, r slog.Record) error {
	r = r.Clone()
	h.q.push(&line{h.to, r, size(&r)})
	return nil
}

// WithAttrs implements [slog.Handler].
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.q, h.to.WithAttrs(slices.Clone(attrs))}
}

// WithGroup implements [slog.Handler].
func (h handler) WithGroup(name string) slog.Handler { return handler{h.q, h.to.WithGroup(name)} }

// size estimates the bytes of a record.
func size(r *slog.Record) int64 {
	const about = 64 // of a value that is not a text
	n := about + len(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		n += len(a.Key)
		switch v := a.Value; v.Kind() {
		case slog.KindString:
			n += len(v.String())
		case slog.KindAny:
			if err, ok := v.Any().(error); ok {
				n += len(err.Error())
			}
			n += about
		default:
			n += about
		}
		return true
	})
	return int64(n)
}
