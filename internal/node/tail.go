// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/shard"
)

// A tail follows the log and dispatches every event of it, in order. Its one
// goroutine may wait: for the log, and for a shard whose inbox is full.
type tail struct {
	log      *eventlog.Log
	dispatch func(eventlog.Entry)
	turn     func(*eventlog.Lineage, uint64)
	logger   *slog.Logger
	cancel   context.CancelFunc
	ended    chan struct{}

	at     atomic.Uint64 // the newest event dispatched
	broken atomic.Bool   // the log could not be read, last time it was tried
	moved  chan struct{} // has a token when at has moved
}

// retryTail is the pause after the log could not be read.
const retryTail = time.Second

// startTail starts a tail after a sequence of a lineage. It calls dispatch with every
// event, and turn when the log has another lineage, which has in common with the one
// before what stands up to a sequence.
func startTail(log *eventlog.Log, in *eventlog.Lineage, from uint64, dispatch func(eventlog.Entry), turn func(*eventlog.Lineage, uint64), logger *slog.Logger) *tail {
	ctx, cancel := context.WithCancel(context.Background())
	t := &tail{log: log, dispatch: dispatch, turn: turn, logger: logger, cancel: cancel, ended: make(chan struct{}), moved: make(chan struct{}, 1)}
	t.at.Store(from)
	go t.run(ctx, in)
	return t
}

func (t *tail) run(ctx context.Context, in *eventlog.Lineage) {
	defer close(t.ended)
	follower := eventlog.Follower{
		Event: t.entry,
		LineageChanged: func(l *eventlog.Lineage, common uint64) {
			in = l
			t.at.Store(min(t.at.Load(), common))
			t.turn(l, common)
		},
		Reading: func() { t.broken.Store(false) },
	}
	for {
		err := t.log.Follow(ctx, in, t.at.Load(), follower)
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
	case e.Lost: // what comes after it does not follow on what is before
		n.router.MarkLost(e.Cursor.Seq)
		return
	case e.Body == nil: // no event of ours
		n.router.Advance(e.Cursor.Seq)
		return
	}
	n.recorder.NoteDeployment(&e)
	switch {
	case e.Cursor.Seq <= n.before:
		n.router.Preload(e.Target, newMessage(e))
	case n.tracer == nil:
		n.router.Dispatch(e.Target, n.liveMessage(e))
	default:
		n.dispatchTraced(e)
	}
}

// turn goes over to another lineage of the log. What was known of sequences after the
// common part is forgotten: they are other events' now.
func (n *Node) turn(l *eventlog.Lineage, common uint64) {
	n.before = min(n.before, common)
	n.router.SetLineage(l, common)
	n.recorder.Rewind(common)
	n.lineage.Store(l) // last: who reads the log by it finds the shards there
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
	return n.log.ReadIn(ctx, n.lineage.Load(), after, func(e eventlog.Entry) error {
		if e.Lost { // leaves a gap, and tells who reads over it
			return nil
		}
		if e.Body == nil { // of nobody's
			return f(event.Target{}, &shard.Message{Cursor: e.Cursor})
		}
		return f(e.Target, newMessage(e))
	})
}

// lineageWait is how long a gateway that comes with a position waits for this node to
// learn of an epoch that another node knows.
const lineageWait = time.Second

// resume says how a gateway goes on from a position.
func (n *Node) resume(ctx context.Context, since string, latest bool) *shard.Resume {
	c, err := event.ParseCursor(since)
	if err != nil {
		return &shard.Resume{ResyncReason: shard.ResyncUnknown}
	}
	in := n.lineageOf(ctx, c)
	switch _, known := in.Clamp(c); {
	case !known:
		return &shard.Resume{ResyncReason: shard.ResyncEpoch}
	case !in.Contains(c), c.Seq > n.log.Last().Seq && n.isAhead(ctx, c.Seq):
		return &shard.Resume{ResyncReason: shard.ResyncAhead}
	}
	return &shard.Resume{After: c.Seq, Position: c, Lineage: in, Latest: latest, Oldest: n.log.First()}
}

// lineageOf returns the lineage that the shards have. When that does not know a
// position's epoch and the log does, it waits for the tail to come to it.
func (n *Node) lineageOf(ctx context.Context, c event.Cursor) *eventlog.Lineage {
	in := n.lineage.Load()
	if in.Contains(c) || !n.log.Shared() {
		return in
	}
	if _, ok, err := n.log.Find(ctx, c); err != nil || !ok {
		return in
	}
	ctx, cancel := context.WithTimeout(ctx, lineageWait)
	defer cancel()
	for ; ctx.Err() == nil && !in.Contains(c); in = n.lineage.Load() {
		pause(ctx, 10*time.Millisecond)
	}
	return in
}

// isAhead reports whether the log does not have an event, which another node may
// have appended without this one knowing yet.
func (n *Node) isAhead(ctx context.Context, seq uint64) bool {
	_, last, err := n.log.Bounds(ctx)
	return err == nil && seq > last
}
