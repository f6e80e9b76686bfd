// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

const (
	// appendTimeout is how long the log can give no answer at all before a waiting append
	// fails. JetStream does not answer when a write failed. But on a slow disk a full window
	// can take longer than this.
	appendTimeout = 5 * time.Second

	// windowEvents and windowBytes bound the appends in progress. JetStream refuses messages
	// above 10,000 or 128 MiB.
	windowEvents = 4096
	windowBytes  = 64 << 20
)

// A Pending is an append in progress.
type Pending struct {
	// Constant.
	size  int       // its share of windowBytes
	due   time.Time // it does not fail for lack of an answer before
	entry Entry     // for the tails; without a body if there was none when it was sent
	// State of the log's history when it was sent. The event must come after the sequence.
	branch, after uint64

	again *storage.Outgoing // to send a second time; nil without an idempotency key; guarded by appender.mu

	done      chan struct{} // closed when the fields below are set
	cursor    event.Cursor
	duplicate bool
	err       error
}

// Duplicate reports whether the log already had an event with the same idempotency key. Then
// Wait returns the position of that event, and this one was not stored. It can be called when
// Wait has returned.
func (p *Pending) Duplicate() bool { return p.duplicate }

// Wait waits for the log's answer and returns the event's position. It ends with ctx; and with
// an error that matches [ErrUnavailable] when the log has given no answer for five seconds. The
// event can be in the log after both. Wait can be called more than once, or never.
func (p *Pending) Wait(ctx context.Context) (event.Cursor, error) {
	select {
	case <-p.done:
		return p.cursor, p.err
	case <-ctx.Done():
		return event.Cursor{}, ctx.Err()
	}
}

// Append stores an event and returns its position when the log has it. Body is the result of
// ev.AppendBody. An error matches [ErrUnavailable], unless it is ctx's or the event is invalid.
func (l *Log) Append(ctx context.Context, ev *event.Event, body []byte) (event.Cursor, error) {
	if err := ctx.Err(); err != nil {
		return event.Cursor{}, err
	}
	p, err := l.out.send(ctx, ev, body)
	if err != nil {
		return event.Cursor{}, err
	}
	return p.Wait(ctx)
}

// AppendAsync sends an event and returns before the log has it. Of two calls, the one that
// returned before the other began comes first in the log. When 4,096 events or 64 MiB are in
// progress, it waits until some are answered. Body is the caller's again when it returns.
func (l *Log) AppendAsync(ev *event.Event, body []byte) (*Pending, error) {
	return l.out.send(context.Background(), ev, body)
}

// send publishes an event. What can be refused is refused before the event takes room in the
// window: a body that is too large, an invalid target, a full disk. Concurrent calls can be stored
// in another order than that of their numbers.
func (a *appender) send(ctx context.Context, ev *event.Event, body []byte) (*Pending, error) {
	if limit := a.log.store.MaxEventBytes(); len(body) > limit {
		return nil, fmt.Errorf("event log: the event has %d bytes; the limit is %d", len(body), limit)
	}
	subject, header, err := address(ev)
	if err != nil {
		return nil, err
	}
	size := len(body) + storage.MessageOverhead
	if err := a.log.store.Reserve(size); err != nil {
		return nil, err
	}
	number, p, err := a.enter(ctx, size, a.entry(ev, body))
	if err != nil {
		return nil, err
	}
	msg := storage.Outgoing{Subject: subject, Header: header, Data: body}
	if ev.IdempotencyKey != "" {
		msg.ID = encodeKey(ev.IdempotencyKey)
		a.keep(p, msg)
	}
	a.publish(number, msg)
	return p, nil
}

// entry returns what the tails get when the log has the event. Its body is a copy: the
// caller's is the caller's again.
func (a *appender) entry(ev *event.Event, body []byte) Entry {
	if !a.log.feed.followed() {
		return Entry{}
	}
	published := ev.Timestamp
	if published.IsZero() {
		published = time.Now()
	}
	return Entry{Target: ev.Target, Key: ev.Key, Body: bytes.Clone(body), Published: published}
}

// keep keeps a message with an idempotency key while its append is in progress. The body is
// copied: the caller's is the caller's again.
func (a *appender) keep(p *Pending, msg storage.Outgoing) {
	msg.Data = bytes.Clone(msg.Data)
	a.mu.Lock()
	defer a.mu.Unlock()
	p.again = &msg
}

// inProgressPause is how long an event waits for another one with its idempotency key that is
// in progress.
const inProgressPause = 50 * time.Millisecond

// sendAgain sends a message a second time after inProgressPause, and reports whether it will.
// The sweep ends that in time.
func (a *appender) sendAgain(number uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.waiting[number]
	if !ok || p.again == nil {
		return false
	}
	msg := *p.again
	time.AfterFunc(inProgressPause, func() { a.publish(number, msg) })
	return true
}

// publish sends a message. After an error the append has ended: the message was not sent, so no
// answer will come.
func (a *appender) publish(number uint64, msg storage.Outgoing) {
	err := a.publisher.Publish(number, msg)
	if err == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.complete(number, storage.Ack{}, err)
}
