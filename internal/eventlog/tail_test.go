// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/event"
)

// read returns the first n events after a position.
func read(tb testing.TB, l *testLog, after event.Cursor, n int) []Entry {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	var got []Entry
	err := l.Tail(ctx, after, func(e Entry) {
		if got = append(got, e); len(got) == n {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		tb.Fatalf("tail: %v with %d of %d events", err, len(got), n)
	}
	return got[:n] // more may have come before the tail ended
}

func TestTailTellsAll(t *testing.T) {
	l := open(t, config{})
	targets := []event.Target{
		{GatewayIDs: []string{"one"}},
		{GatewayIDs: []string{"one", "two", "three"}},
		{Group: "g"},
		{All: true},
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 123, time.UTC)
	var want []Entry
	for _, target := range targets {
		for _, key := range []string{"", "plain", " spaced\n", "=equals", "größe"} {
			ev := &event.Event{Target: target, Type: "t", Timestamp: at, CorrelationID: "c", Key: key}
			body := ev.AppendBody(nil)
			c, err := l.Append(t.Context(), ev, body)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, Entry{Cursor: c, Target: target, Key: key, Body: body, Published: at})
		}
	}
	for i, e := range read(t, l, event.Cursor{}, len(want)) {
		w := want[i]
		if e.Cursor != w.Cursor || e.Key != w.Key || string(e.Body) != string(w.Body) || !e.Published.Equal(w.Published) ||
			!slices.Equal(e.Target.GatewayIDs, w.Target.GatewayIDs) || e.Target.Group != w.Target.Group || e.Target.All != w.Target.All {
			t.Errorf("event %d: got %+v, want %+v", i, e, w)
		}
	}
}

func TestPublishedFallsBackToTheStore(t *testing.T) {
	l := open(t, config{InMemory: true})
	before := time.Now().Add(-time.Second)
	ev := &event.Event{Target: event.Target{All: true}, Type: "t"} // without a time
	if _, err := l.Append(t.Context(), ev, ev.AppendBody(nil)); err != nil {
		t.Fatal(err)
	}
	if at := read(t, l, event.Cursor{}, 1)[0].Published; at.Before(before) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("published %v", at)
	}
}

func TestTailBegins(t *testing.T) {
	l := open(t, config{})
	for i := range 5 {
		add(t, l, i)
	}
	cases := []struct {
		name  string
		after event.Cursor
		first uint64
		err   string
	}{
		{"at the beginning", event.Cursor{}, 1, ""},
		{"before the first", l.CursorOf(0), 1, ""},
		{"in the middle", l.CursorOf(3), 4, ""},
		{"at the end", l.CursorOf(5), 6, ""},
		{"ahead", l.CursorOf(7), 0, "after the newest event"},
		{"in another log", event.Cursor{Epoch: l.Epoch() + 1, Seq: 2}, 0, "another log"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.err != "" {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := l.Tail(ctx, c.after, func(Entry) {})
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want one that says %q", err, c.err)
				}
				return
			}
			if c.first == 6 {
				add(t, l, 5)
			}
			if got := read(t, l, c.after, 1)[0].Cursor.Seq; got != c.first {
				t.Errorf("began at %d, want %d", got, c.first)
			}
		})
	}
}

// With many concurrent appends, two tails see the same order, which is that of the ids, and the
// ids returned are the ids seen.
func TestConcurrentAppendersAndTails(t *testing.T) {
	l := open(t, config{})
	const appenders, each = 64, 50
	const n = appenders * each
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var tails, writers sync.WaitGroup
	seen := make([][]Entry, 2)
	for i := range seen {
		tails.Go(func() { seen[i] = read(t, l, event.Cursor{}, n) })
	}
	var mu sync.Mutex
	given := make(map[uint64]string, n)
	for w := range appenders {
		writers.Go(func() {
			for i := range each {
				ev, body := newEvent(w*each + i)
				c, err := l.Append(ctx, ev, body)
				if err != nil {
					t.Error(err)
					return
				}
				if last := l.Last(); last.Seq < c.Seq {
					t.Errorf("last %v is before %v", last, c)
				}
				mu.Lock()
				given[c.Seq] = string(body)
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	tails.Wait()
	for _, entries := range seen {
		for i, e := range entries {
			if e.Cursor.Seq != uint64(i)+1 || given[e.Cursor.Seq] != string(e.Body) {
				t.Fatalf("event %d: %v %s, handed out as %s", i, e.Cursor, e.Body, given[e.Cursor.Seq])
			}
		}
	}
	if len(given) != n {
		t.Errorf("%d different ids for %d events", len(given), n)
	}
}

func TestTailFromEveryPlaceWhileAppending(t *testing.T) {
	l := open(t, config{InMemory: true})
	const n = 5000
	var writer, tails sync.WaitGroup
	writer.Go(func() {
		for i := range n {
			ev, body := newEvent(i)
			if _, err := l.AppendAsync(ev, body); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 4 {
		after := l.Last()
		tails.Go(func() {
			for i, e := range read(t, l, after, n-int(after.Seq)) {
				if e.Cursor.Seq != after.Seq+uint64(i)+1 {
					t.Errorf("after %v, event %d is %v", after, i, e.Cursor)
					return
				}
			}
		})
		for l.Last().Seq < after.Seq+100 { // so that each begins elsewhere
			time.Sleep(time.Millisecond)
		}
	}
	writer.Wait()
	tails.Wait()
}

func TestTailIsNotCalledAfterItsReturn(t *testing.T) {
	l := open(t, config{InMemory: true})
	ctx, cancel := context.WithCancel(t.Context())
	var over atomic.Bool
	var tail, writer sync.WaitGroup
	tail.Go(func() {
		_ = l.Tail(ctx, event.Cursor{}, func(e Entry) {
			if over.Load() {
				t.Error("called after it returned")
			}
			if e.Cursor.Seq == 500 {
				cancel()
			}
		})
		over.Store(true)
	})
	writer.Go(func() {
		for i := range 2000 {
			ev, body := newEvent(i)
			if _, err := l.AppendAsync(ev, body); err != nil {
				t.Error(err)
			}
		}
	})
	writer.Wait()
	tail.Wait()
}

// When a consumer is lost while a tail reads the store, the tail continues where it was.
func TestTailSurvivesItsConsumer(t *testing.T) {
	l := open(t, config{InMemory: true})
	const n = 2*tailEvents + 100 // so that there is more to come than is on its way
	var last *Pending
	for i := range n {
		ev, body := newEvent(i)
		var err error
		if last, err = l.AppendAsync(ev, body); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := last.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := make(chan uint64)
	ctx, cancel := context.WithCancel(t.Context())
	var tail sync.WaitGroup
	tail.Go(func() {
		_ = l.Tail(ctx, event.Cursor{}, func(e Entry) {
			select {
			case seen <- e.Cursor.Seq:
			case <-ctx.Done():
			}
		})
	})
	for want := uint64(1); want <= n; want++ {
		if got := <-seen; got != want {
			t.Fatalf("saw %d, want %d", got, want)
		}
		if want == 10 {
			removeConsumers(t, l)
		}
	}
	cancel()
	tail.Wait()
}

func removeConsumers(t *testing.T, l *testLog) {
	t.Helper()
	stream, err := l.js.Stream(t.Context(), streamName)
	if err != nil {
		t.Fatal(err)
	}
	removed := 0
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			t.Fatal(err)
		}
		removed++
	}
	if removed == 0 {
		t.Fatal("the tail has no consumer")
	}
}

func TestTailSurvivesItsConnection(t *testing.T) {
	l := open(t, config{})
	seen := make(chan uint64, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var tail sync.WaitGroup
	tail.Go(func() { _ = l.Tail(ctx, event.Cursor{}, func(e Entry) { seen <- e.Cursor.Seq }) })
	add(t, l, 0)
	<-seen
	if err := l.conn.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	for { // an append may fail until there is a connection again
		ev, body := newEvent(1)
		if _, err := l.Append(t.Context(), ev, body); err == nil {
			break
		} else if !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	for want := uint64(2); want <= l.Last().Seq; want++ {
		if got := <-seen; got != want {
			t.Fatalf("saw %d, want %d", got, want)
		}
	}
	cancel()
	tail.Wait()
}

// A message that is not an event has a sequence too.
func TestTailOfWhatIsNoEvent(t *testing.T) {
	l := open(t, config{})
	if _, err := l.js.Publish(t.Context(), subjectPrefix+"nobody.knows", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	add(t, l, 0)
	got := read(t, l, event.Cursor{}, 2)
	if got[0].Cursor.Seq != 1 || got[0].Body != nil || got[1].Cursor.Seq != 2 || got[1].Body == nil {
		t.Errorf("saw %+v", got)
	}
}

func TestRetentionByBytes(t *testing.T) {
	for _, memory := range []bool{false, true} {
		l := open(t, config{InMemory: memory, RetentionBytes: 100 << 10})
		const n = 2000
		for i := range n {
			ev, body := newEvent(i)
			if _, err := l.AppendAsync(ev, body); err != nil {
				t.Fatal(err)
			}
		}
		last := add(t, l, n)
		first := read(t, l, event.Cursor{}, 1)[0].Cursor.Seq
		_, body := newEvent(n)
		kept := int(last.Seq - first + 1)
		if most := (100 << 10) / len(body); kept > most || kept < most/3 {
			t.Errorf("memory %v: %d events of %d bytes are kept", memory, kept, len(body))
		}
		got := read(t, l, l.CursorOf(5), kept) // removed long ago: it reads from the oldest on
		if got[0].Cursor.Seq != first || got[kept-1].Cursor != last {
			t.Errorf("memory %v: from %v to %v, want %d to %v", memory, got[0].Cursor, got[kept-1].Cursor, first, last)
		}
	}
}

func TestRetentionByAge(t *testing.T) {
	l := open(t, config{Retention: 200 * time.Millisecond})
	add(t, l, 0)
	stream, err := l.js.Stream(t.Context(), streamName)
	if err != nil {
		t.Fatal(err)
	}
	for {
		info, err := stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Msgs == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if c := add(t, l, 1); c.Seq != 2 {
		t.Errorf("the sequence went back to %v", c)
	}
}

func TestCloseEndsTails(t *testing.T) {
	l := open(t, config{InMemory: true})
	began := make(chan struct{})
	ended := make(chan error)
	go func() {
		ended <- l.Tail(t.Context(), event.Cursor{}, func(Entry) { close(began) })
	}()
	add(t, l, 0)
	<-began
	closeLog(t, l)
	if err := <-ended; !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}
