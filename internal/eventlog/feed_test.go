// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// follow starts a tail at the newest event and returns when the feed has it. Stop ends the tail
// and waits for it.
func follow(t *testing.T, l *testLog, f func(Entry)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var tail sync.WaitGroup
	after := l.Last()
	tail.Go(func() { _ = l.Tail(ctx, after, f) })
	for !l.feed.followed() {
		select {
		case <-ctx.Done():
			t.Fatal("the tail did not join")
		default:
		}
	}
	return func() { cancel(); tail.Wait() }
}

// addUnanswered appends an event whose answer the appender does not get.
func addUnanswered(t *testing.T, l *testLog, n int) {
	t.Helper()
	ev, body := newEvent(n)
	subject, _, err := address(ev)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.js.Publish(t.Context(), subject, body); err != nil {
		t.Fatal(err)
	}
}

func wantEntry(t *testing.T, e Entry, seq uint64, n int) {
	t.Helper()
	ev, body := newEvent(n)
	if e.Cursor.Seq != seq || !bytes.Equal(e.Body, body) || !e.Published.Equal(ev.Timestamp) || e.Target.GatewayIDs[0] != ev.Target.GatewayIDs[0] {
		t.Fatalf("got %+v %s, want event %d at %d", e, e.Body, n, seq)
	}
}

// consumers counts the consumers of the stream.
func consumers(t *testing.T, l *testLog) (n int) {
	t.Helper()
	stream, err := l.js.Stream(t.Context(), streamName)
	if err != nil {
		t.Fatal(err)
	}
	for range stream.ConsumerNames(t.Context()).Name() {
		n++
	}
	return n
}

// Events that are appended while a tail runs are not read from the store, and are the same as
// if they were.
func TestFeedTellsWithoutTheStore(t *testing.T) {
	l := open(t, config{})
	seen := make(chan Entry)
	defer follow(t, l, func(e Entry) { seen <- e })()
	var body []byte
	for i := range 10 {
		ev, _ := newEvent(i)
		body = ev.AppendBody(body[:0])
		if _, err := l.AppendAsync(ev, body); err != nil {
			t.Fatal(err)
		}
		clear(body) // it is ours again
		wantEntry(t, <-seen, uint64(i)+1, i)
	}
	if n := consumers(t, l); n != 0 {
		t.Errorf("the tail has %d consumers", n)
	}
}

func TestTailFillsGapsOfTheFeed(t *testing.T) {
	l := open(t, config{})
	seen := make(chan Entry, 10)
	defer follow(t, l, func(e Entry) { seen <- e })()
	add(t, l, 0)
	wantEntry(t, <-seen, 1, 0)
	addUnanswered(t, l, 1)
	addUnanswered(t, l, 2)
	add(t, l, 3)
	add(t, l, 4)
	for i := 1; i < 5; i++ {
		wantEntry(t, <-seen, uint64(i)+1, i)
	}
	if n := consumers(t, l); n != 0 {
		t.Errorf("%d consumers are left", n)
	}
}

// byHand returns a tail that the test runs itself.
func byHand(l *testLog, f func(Entry)) *tail { return &tail{log: l.Log, f: f, in: l.feed.join()} }

func TestLookFindsUnansweredEvents(t *testing.T) {
	l := open(t, config{InMemory: true})
	var got []Entry
	tl := byHand(l, func(e Entry) { got = append(got, e) })
	addUnanswered(t, l, 0)
	for range 2 {
		if len(got) > 0 {
			t.Error("the first look already took the event; its answer could still come")
		}
		if err := tl.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 1 {
		t.Fatalf("%d events, want 1", len(got))
	}
	wantEntry(t, got[0], 1, 0)
	if last := l.Last().Seq; last != 1 {
		t.Errorf("the newest is %d, want 1", last)
	}
}

// An append that was sent before there was a tail has no body for it.
func TestEntryWithoutBodyIsRead(t *testing.T) {
	l := open(t, config{InMemory: true})
	number, _, err := l.out.enter(t.Context(), 10, l.out.entry(&event.Event{}, []byte("{}")))
	if err != nil {
		t.Fatal(err)
	}
	var got []Entry
	tl := byHand(l, func(e Entry) { got = append(got, e) })
	addUnanswered(t, l, 0)
	l.out.answered(number, storage.Ack{Seq: 1}, nil)
	<-tl.in.wake
	if err := tl.takeAll(t.Context(), tl.in.take(nil)); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 {
		t.Fatalf("%d events, want 1", len(got))
	}
	wantEntry(t, got[0], 1, 0)
}

// A slow tail holds a bounded number of events, and misses none.
func TestSlowTail(t *testing.T) {
	l := open(t, config{InMemory: true})
	const n = tailEvents + 500
	began, release := make(chan struct{}), make(chan struct{})
	done := make(chan struct{})
	next := uint64(1)
	defer follow(t, l, func(e Entry) {
		switch {
		case e.Cursor.Seq != next:
			t.Errorf("saw %d, want %d", e.Cursor.Seq, next)
		case next == 1:
			close(began)
			<-release
		case next == n:
			close(done)
		}
		next++
	})()
	add(t, l, 0)
	<-began
	for i := 1; i < n; i++ {
		ev, body := newEvent(i)
		if _, err := l.AppendAsync(ev, body); err != nil {
			t.Fatal(err)
		}
	}
	add(t, l, n) // everything before it is answered
	in := l.feed.intakes[0]
	in.mu.Lock()
	if held := len(in.entries); held > n-tailEvents {
		t.Errorf("%d events are held, want at most %d", held, n-tailEvents)
	}
	in.mu.Unlock()
	close(release)
	<-done
}

func TestIntakeBounds(t *testing.T) {
	cases := []struct {
		name string
		size int
		fit  int
	}{
		{"events", 1, tailEvents},
		{"bytes", tailBytes / 4, 4},
		{"larger than the bound", tailBytes + 1, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := &intake{wake: make(chan struct{}, 1)}
			body := make([]byte, c.size)
			for i := range c.fit {
				if in.push(Entry{Body: body}); len(in.entries) != i+1 {
					t.Fatalf("%d entries after %d", len(in.entries), i+1)
				}
			}
			if in.push(Entry{Body: body}); len(in.entries) != 1 || in.bytes != c.size {
				t.Errorf("%d entries of %d bytes are left, want the newest", len(in.entries), in.bytes)
			}
			spent := in.take(nil)
			if in.take(spent); cap(in.entries) > keptEntries {
				t.Errorf("a buffer of %d entries is kept", cap(in.entries))
			}
			if spent[0].Body != nil {
				t.Error("a spent entry is kept")
			}
		})
	}
}
