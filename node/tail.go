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
		select {
		case <-time.After(retryTail):
		case <-ctx.Done():
			return
		}
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

// stop ends the tail and waits for it.
func (t *tail) stop() {
	t.cancel()
	<-t.ended
}

// dispatch makes an entry's message and sends it to its gateways' shards.
func (n *Node) dispatch(e eventlog.Entry) {
	n.router.Dispatch(e.Target, shard.NewMessage(e.Cursor, e.Body, e.Published.UnixNano()))
}
