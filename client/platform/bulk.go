// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"crypto/rand"
	"iter"
	"sync"
)

// Bounds of the events of one PublishAll that have no answer yet, and the number of lines in one
// request.
const (
	maxWindow      = 512
	maxWindowBytes = 4 << 20 // exceeded by at most one event
	segmentLines   = 10_000
)

// A Result is the answer to one event of [Client.PublishAll].
type Result struct {
	N       int     // number of the event in the input, from 0
	Event   Event   // as it was in the input
	Receipt Receipt // if Err is nil
	// Err is why the event was not published: an [*Error] that the node gave, or why it could not
	// be encoded. It affects no other event.
	Err error
}

// PublishAll publishes events in their order, as a stream, and yields a result for each one, also
// in their order. Events and results are streamed at the same time; at most 512 events, or about
// 4 MiB of them, wait for their results.
//
// What has no answer when a request fails is sent again, with its idempotency key. After that,
// the order in the log can differ for the events that waited at the same time. An error that
// does not pass, and the end of ctx, are the last element; its result is zero. The log can then
// have up to 512 of the events without a result.
//
// PublishAll ranges over events on a goroutine of its own. When the loop over the results ends
// early, it waits until events yields once more or returns. So let events end with ctx if it
// waits for something.
func (c *Client) PublishAll(ctx context.Context, events iter.Seq[Event]) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		b := &bulk{c: c, key: rand.Text(), retry: backoff{c: c}, fed: make(chan struct{})}
		b.changed.L = &b.mu
		defer context.AfterFunc(ctx, b.broadcast)()
		go b.feed(events)
		defer func() {
			b.stop()
			<-b.fed
		}()
		if err := b.run(ctx, func(r Result) bool { return yield(r, nil) }); err != nil {
			yield(Result{}, err)
		}
	}
}

// A bulk is one PublishAll. Three goroutines take part: the feeder appends lines to the window;
// that of the HTTP transport sends them, see [bulkRequest]; the caller's reads the answers,
// yields results and removes lines.
type bulk struct {
	// Constant after start.
	c   *Client
	key string // prefix of the idempotency keys
	fed chan struct{}

	retry backoff // owned by the caller's goroutine

	mu      sync.Mutex
	changed sync.Cond   // a line was added or removed, or one of the states below has changed
	window  []*bulkLine // lines whose results were not yielded, in order
	first   int         // number of the first line of window, or of the next one to add
	bytes   int         // of the lines of window
	done    bool        // no more lines will come
	stopped bool        // the caller wants no more results
}

// A bulkLine is an event of the window.
type bulkLine struct {
	text     []byte // ends with a line feed
	answered bool
	result   Result
}

// feed appends events to the window until it is stopped.
func (b *bulk) feed(events iter.Seq[Event]) {
	defer close(b.fed)
	n := 0
	for e := range events {
		l := &bulkLine{result: Result{N: n, Event: e}}
		n++
		if l.text, l.result.Err = encode(&e); l.result.Err != nil {
			l.answered = true
		}
		if !b.add(l) {
			return
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = true
	b.changed.Broadcast()
}

// add waits for room in the window and appends a line. It returns false if the bulk is stopped.
func (b *bulk) add(l *bulkLine) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.stopped && (len(b.window) >= maxWindow || b.bytes >= maxWindowBytes) {
		b.changed.Wait()
	}
	b.window = append(b.window, l)
	b.bytes += len(l.text)
	b.changed.Broadcast()
	return !b.stopped
}

func (b *bulk) broadcast() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed.Broadcast()
}

// stop ends the feeder at its next event.
func (b *bulk) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	b.changed.Broadcast()
}

// run sends requests until each event has its result, or yield returns false.
func (b *bulk) run(ctx context.Context, yield func(Result) bool) error {
	for {
		if !b.yieldAnswered(yield) {
			return nil
		}
		switch more, err := b.awaitLine(ctx); {
		case err != nil:
			return err
		case !more:
			return nil
		}
		r := newBulkRequest(b)
		err := r.run(ctx, yield)
		switch {
		case err == errBroken:
			return nil
		case err != nil:
			if err := b.retry.wait(ctx, err); err != nil {
				return err
			}
		}
	}
}

// awaitLine waits until the window has a line. It returns false if there will be none.
func (b *bulk) awaitLine(ctx context.Context) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.window) == 0 && !b.done && ctx.Err() == nil {
		b.changed.Wait()
	}
	if ctx.Err() != nil { // also when events has ended: it can have ended with ctx
		return false, context.Cause(ctx)
	}
	return len(b.window) > 0, nil
}

// yieldAnswered yields the results at the beginning of the window. It returns false if the caller
// wants no more.
func (b *bulk) yieldAnswered(yield func(Result) bool) bool {
	for {
		l := b.removeAnswered()
		if l == nil {
			return true
		}
		if !yield(l.result) {
			return false
		}
	}
}

// removeAnswered removes the first line if it is answered, and returns it, else nil.
func (b *bulk) removeAnswered() *bulkLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.window) == 0 || !b.window[0].answered {
		return nil
	}
	l := b.window[0]
	b.window[0] = nil
	b.window = b.window[1:]
	b.first++
	b.bytes -= len(l.text)
	b.changed.Broadcast()
	return l
}
