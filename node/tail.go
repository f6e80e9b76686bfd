// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"gatecast/event"
	"gatecast/eventlog"
	"gatecast/shard"
)

// A tail follows the log and dispatches every event of it, in order. Its one
// goroutine may wait: for the log, and for a shard whose inbox is full.
type tail struct {
	log      *eventlog.Log
	dispatch func(eventlog.Entry)
	logger   *slog.Logger
	cancel   context.CancelFunc
	ended    chan struct{}

	at     atomic.Uint64 // the newest event dispatched
	broken atomic.Bool   // the log could not be read, last time it was tried
	moved  chan struct{} // has a token when at has moved
}

// retryTail is the pause after the log could not be read.
const retryTail = time.Second

func startTail(log *eventlog.Log, from event.Cursor, dispatch func(eventlog.Entry), logger *slog.Logger) *tail {
	ctx, cancel := context.WithCancel(context.Background())
	t := &tail{log: log, dispatch: dispatch, logger: logger, cancel: cancel, ended: make(chan struct{}), moved: make(chan struct{}, 1)}
	t.at.Store(from.Seq)
	go t.run(ctx, from)
	return t
}

func (t *tail) run(ctx context.Context, from event.Cursor) {
	defer close(t.ended)
	for {
		if t.log.Check(ctx) == nil {
			t.broken.Store(false)
		}
		err := t.log.Tail(ctx, event.Cursor{Epoch: from.Epoch, Seq: t.at.Load()}, t.entry)
		if ctx.Err() != nil {
			return
		}
		t.broken.Store(true)
		t.logger.Error("the event log cannot be read; trying again", "error", err, "after", t.at.Load())
		pause(ctx, retryTail)
	}
}

func (t *tail) entry(e eventlog.Entry) {
	t.dispatch(e)
	t.at.Store(e.Cursor.Seq)
	select {
	case t.moved <- struct{}{}:
	default:
	}
}

// healthy reports whether the log could be read, last time it was tried.
func (t *tail) healthy() bool { return !t.broken.Load() }

// reach waits until the event at c has been dispatched. One goroutine at a time
// may wait.
func (t *tail) reach(ctx context.Context, c event.Cursor) error {
	for t.at.Load() < c.Seq {
		select {
		case <-t.moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// stop ends the tail and waits for it.
func (t *tail) stop() {
	t.cancel()
	<-t.ended
}

// dispatch makes an entry's message and sends it to its gateways' shards. What
// the log had before the node started is only kept for gateways that resume.
func (n *Node) dispatch(e eventlog.Entry) {
	switch {
	case e.Body == nil: // no event of ours
		n.router.Pass(e.Cursor.Seq)
		return
	}
	n.recorder.deployed.note(&e)
	switch {
	case e.Cursor.Seq <= n.before:
		n.router.Remember(e.Target, newMessage(e))
	case n.tracer == nil:
		n.router.Dispatch(e.Target, n.liveMessage(e))
	default:
		n.dispatchTraced(e)
	}
}

// liveMessage returns the message of an event that has just come.
func (n *Node) liveMessage(e eventlog.Entry) *shard.Message {
	m := newMessage(e)
	n.compress(m)
	return m
}

// compress gives a message its compressed form, where some connection takes it.
// It is done here, once and ahead of the shards, so that loops never compress.
// What a scan reads from the log stays plain: another scan would compress it again.
func (n *Node) compress(m *shard.Message) {
	if len(m.Body) < n.cfg.CompressionThreshold || !n.webSocket.Deflating() {
		return
	}
	if saved := shard.Deflate(m); saved > 0 {
		n.counts.EventsCompressed.Inc()
		n.counts.CompressionSaved.Add(float64(saved))
	}
}

func newMessage(e eventlog.Entry) *shard.Message {
	return shard.NewMessage(e.Cursor, e.Key, e.Body, e.Published.UnixNano())
}

// readLog is the shard.Reader of the node's log.
func (n *Node) readLog(ctx context.Context, after uint64, f func(event.Target, *shard.Message) error) (upTo uint64, err error) {
	return n.log.Read(ctx, after, func(e eventlog.Entry) error {
		if e.Body == nil { // of nobody's
			return f(event.Target{}, &shard.Message{Cursor: e.Cursor})
		}
		return f(e.Target, newMessage(e))
	})
}

// resume says how a gateway goes on from a position.
func (n *Node) resume(ctx context.Context, since string, latest bool) *shard.Resume {
	c, err := event.ParseCursor(since)
	switch {
	case err != nil:
		return &shard.Resume{Resync: shard.ResyncUnknown}
	case c.Epoch != n.log.Epoch():
		return &shard.Resume{Resync: shard.ResyncEpoch}
	case c.Seq > n.log.Last().Seq && n.isAhead(ctx, c.Seq):
		return &shard.Resume{Resync: shard.ResyncAhead}
	}
	return &shard.Resume{After: c.Seq, Latest: latest, Oldest: n.log.First()}
}

// isAhead reports whether the log does not have an event, which another node may
// have appended without this one knowing yet.
func (n *Node) isAhead(ctx context.Context, seq uint64) bool {
	_, last, err := n.log.Bounds(ctx)
	return err == nil && seq > last
}
