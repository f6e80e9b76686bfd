// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gatecast/event"
)

const (
	// What a tail has on its way to its function at most. A larger window reads
	// the past no faster.
	tailEvents = 4096
	tailBytes  = 8 << 20

	// tailHeartbeat is how often the server says that it is there; after twice
	// that a tail begins anew from where it stood.
	tailHeartbeat = 5 * time.Second
)

// An Entry is an event as the log has it.
type Entry struct {
	Cursor    event.Cursor
	Target    event.Target
	Body      []byte    // as event.AppendBody made it, without an id; the receiver's to keep
	Published time.Time // what the body says, else when the log took it
}

// Tail calls f with every event after the given place, in order and each once,
// and goes on with new ones as they are appended until ctx ends. It then returns
// ctx's error; when the log closes, one that matches [ErrUnavailable]. The zero
// Cursor is before everything.
//
// F is called from one goroutine at a time and not after Tail has returned. It
// may take its time: the log does not wait for it, and at most 4,096 events or
// some 8 MiB are held for it.
//
// Events that retention removed before they were read are passed over: the
// sequence then jumps. After must not be ahead of [Log.Last] or of another epoch.
func (l *Log) Tail(ctx context.Context, after event.Cursor, f func(Entry)) error {
	if !after.IsZero() && after.Epoch != l.epoch {
		return fmt.Errorf("event log: %v is a place in another log; this one's epoch is that of %v", after, l.Last())
	}
	if last := l.Last(); after.Seq > last.Seq {
		return fmt.Errorf("event log: %v is ahead of the newest event, %v", after, last)
	}
	ctx, done, err := l.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	t := &tail{log: l, f: f, last: after.Seq}
	return t.run(ctx)
}

// A tail is one call of Tail.
type tail struct {
	log *Log
	f   func(Entry)

	mu   sync.Mutex // held while f runs
	last uint64     // the last sequence f was called with or passed over
	over bool       // f must not be called any more
}

// run reads with an ordered consumer, which begins anew by itself when it lost a
// message or its connection. Measured against its siblings, its callback form
// reads the past fastest and adds no latency over a push consumer.
func (t *tail) run(ctx context.Context) error {
	consumer, err := t.log.js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       t.last + 1,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return t.failed(ctx, err)
	}
	c, err := consumer.Consume(t.onMsg,
		jetstream.PullMaxMessagesWithBytesLimit(tailEvents, max(tailBytes, 2*(t.log.cfg.MaxEventBytes+headroom))),
		jetstream.PullHeartbeat(tailHeartbeat),
		jetstream.ConsumeErrHandler(t.onErr),
	)
	if err != nil {
		return t.failed(ctx, err)
	}
	defer t.end()
	defer c.Stop()
	select {
	case <-ctx.Done():
		return ended(ctx)
	case <-c.Closed():
		return fmt.Errorf("%w: the tail was cut off", ErrUnavailable)
	}
}

func (t *tail) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return fmt.Errorf("%w: read it: %w", ErrUnavailable, err)
}

// end waits for f to return and has it called no more.
func (t *tail) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
}

func (t *tail) onErr(_ jetstream.ConsumeContext, err error) {
	if errors.Is(err, jetstream.ErrConnectionClosed) {
		return // the log is closing
	}
	t.log.cfg.Logger.Warn("event log: a tail stumbled and goes on", "err", err)
}

func (t *tail) onMsg(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		t.log.cfg.Logger.Error("event log: a message is no event of the stream", "err", err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	seq := meta.Sequence.Stream
	if t.over || seq <= t.last {
		return
	}
	if gap := seq - t.last - 1; gap > 0 && t.last > 0 {
		t.log.cfg.Logger.Warn("event log: events were removed before a tail came to them", "events", gap, "before", t.log.cursor(seq))
	}
	t.last = seq
	t.log.advance(seq)
	if e, ok := t.entry(m, meta); ok {
		t.f(e)
	}
}

// entry reads a message. One that is no event of ours is passed over, so that it
// does not stop the rest.
func (t *tail) entry(m jetstream.Msg, meta *jetstream.MsgMetadata) (Entry, bool) {
	e := Entry{Cursor: t.log.cursor(meta.Sequence.Stream), Body: m.Data()}
	var err error
	if e.Target, err = target(m.Subject(), m.Headers()); err != nil {
		t.log.cfg.Logger.Error("event log: an event is passed over", "event", e.Cursor, "err", err)
		return Entry{}, false
	}
	var ok bool
	if e.Published, ok = event.Published(e.Body); !ok {
		e.Published = meta.Timestamp
	}
	return e, true
}
