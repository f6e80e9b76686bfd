// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package logqueue keeps logging from holding up whoever logs. A [Queue] is a
// [slog.Handler] that hands records to another one on a goroutine of its own: standard
// error may be a pipe that nobody reads, and then writing to it waits for ever.
//
// The queue is bounded. What it has no room for is dropped and counted, and the log says
// how much was lost, by a line of the audit, as soon as it can be written again. The
// bounds are far beyond what a file or a terminal falls behind by, so there nothing is
// lost.
package logqueue

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// Bounds of what waits to be written. The bytes are those of the records' texts.
const (
	maxLines = 64 << 10
	maxBytes = 16 << 20
)

// auditMessage is the message of the audit's lines.
const auditMessage = "audit"

// A Queue hands records on. Any goroutine may use it.
type Queue struct {
	// Constant.
	next    slog.Handler
	dropped func(lines int)
	lines   chan *line    // pointers, because most of it is never used
	quit    chan struct{} // closed when nothing more is taken
	ended   chan struct{} // closed when all that was taken is written

	bytes     atomic.Int64 // of what waits
	closed    atomic.Bool
	lost      atomic.Int64 // lines dropped since the log last said so
	lostAudit atomic.Int64 // of them, the audit's
}

type line struct {
	to     slog.Handler
	record slog.Record
	size   int64
}

// New returns a queue in front of next, which must be closed. Dropped is called for
// lines that are dropped, by any goroutine; it must not block.
func New(next slog.Handler, dropped func(lines int)) *Queue {
	q := &Queue{
		next: next, dropped: dropped,
		lines: make(chan *line, maxLines), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	go q.run()
	return q
}

// Handler returns the handler that never blocks. What is logged by it must not be
// changed afterwards: it is formatted later.
func (q *Queue) Handler() slog.Handler { return handler{q, q.next} }

// Close writes what is waiting, for as long as it is given, and drops what is logged
// from then on.
func (q *Queue) Close(patience time.Duration) {
	if q.closed.Swap(true) {
		return
	}
	close(q.quit)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-q.ended:
	case <-late.C:
	}
}

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

func (q *Queue) write(l *line) {
	_ = l.to.Handle(context.Background(), l.record) // there is nowhere to say that it failed
	q.bytes.Add(-l.size)
	q.sayLost()
}

// sayLost has the audit say how many lines were lost, if any were.
func (q *Queue) sayLost() {
	lost := q.lost.Swap(0)
	if lost == 0 {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, auditMessage, 0)
	r.AddAttrs(slog.String("action", "log"), slog.String("outcome", "lines_lost"),
		slog.Int64("lines", lost), slog.Int64("auditLines", q.lostAudit.Swap(0)))
	_ = q.next.Handle(context.Background(), r)
}

// push takes a record, if there is room.
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

func (q *Queue) drop(l *line) {
	if l.record.Message == auditMessage {
		q.lostAudit.Add(1)
	}
	q.lost.Add(1)
	q.dropped(1)
}

// A handler is a queue's, with the attributes that its logger has.
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

// size returns about how many bytes a record takes.
func size(r *slog.Record) int64 {
	const about = 64 // of a value that is no text
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
