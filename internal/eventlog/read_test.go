// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/go-cmp/cmp"
)

// appendTo appends an event for a target and returns its sequence.
func appendTo(t *testing.T, l *testLog, target event.Target, eventType, key string) event.Cursor {
	t.Helper()
	ev := &event.Event{Target: target, Type: eventType, Key: key, Timestamp: time.Now(), CorrelationID: "c"}
	c, err := l.Append(t.Context(), ev, ev.AppendBody(nil))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func to(ids ...string) event.Target { return event.Target{GatewayIDs: ids} }

// seqs returns the sequences of Read after a sequence.
func seqs(t *testing.T, l *testLog, after uint64) (list []uint64, upTo uint64) {
	t.Helper()
	upTo, err := l.Read(t.Context(), after, func(e Entry) error {
		list = append(list, e.Cursor.Seq)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, upTo
}

func TestRead(t *testing.T) {
	for _, memory := range []bool{false, true} {
		t.Run(fmt.Sprintf("memory=%v", memory), func(t *testing.T) {
			l := open(t, config{InMemory: memory})
			if list, upTo := seqs(t, l, 0); list != nil || upTo != 0 {
				t.Errorf("of nothing: %v up to %d", list, upTo)
			}
			for i := range 5 {
				add(t, l, i)
			}
			if list, upTo := seqs(t, l, 2); !cmp.Equal(list, []uint64{3, 4, 5}) || upTo != 5 {
				t.Errorf("after 2: %v up to %d", list, upTo)
			}
			if list, upTo := seqs(t, l, 5); list != nil || upTo != 5 {
				t.Errorf("after all: %v up to %d", list, upTo)
			}
			enough := errors.New("enough")
			n := 0
			_, err := l.Read(t.Context(), 0, func(Entry) error {
				if n++; n == 2 {
					return enough
				}
				return nil
			})
			if err != enough || n != 2 {
				t.Errorf("ended with %v after %d", err, n)
			}
			// What retention removes is a gap at the front; in the end nothing is left.
			if err := l.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			if list, upTo := seqs(t, l, 0); list != nil || upTo != 5 || l.First() != 6 {
				t.Errorf("after the purge: %v up to %d, first %d", list, upTo, l.First())
			}
			add(t, l, 6)
			if list, upTo := seqs(t, l, 2); !cmp.Equal(list, []uint64{6}) || upTo != 6 {
				t.Errorf("over the purge: %v up to %d", list, upTo)
			}
		})
	}
}

func TestGet(t *testing.T) {
	l := open(t, config{})
	c := appendTo(t, l, event.Target{Group: "prod"}, "t", "a key")
	e, err := l.Get(t.Context(), c.Seq)
	if err != nil || e.Cursor != c || e.Target.Group != "prod" || e.Key != "a key" || !strings.HasPrefix(string(e.Body), `{"type":"t"`) {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := l.Get(t.Context(), c.Seq+1); !errors.Is(err, ErrNotRetained) {
		t.Errorf("of none: %v", err)
	}
}

func TestList(t *testing.T) {
	l := open(t, config{})
	appendTo(t, l, to("a"), "t", "")                                 // 1
	appendTo(t, l, to("b"), "t", "")                                 // 2
	appendTo(t, l, event.Target{Group: "x"}, "u", "")                // 3
	appendTo(t, l, event.Target{Group: "y"}, "t", "")                // 4
	appendTo(t, l, event.Target{All: true}, "t", "")                 // 5
	appendTo(t, l, to("b", "a"), "u", "")                            // 6
	appendTo(t, l, to("b", "c"), "t", "")                            // 7
	appendTo(t, l, event.Target{GatewayIDs: []string{"a"}}, "u", "") // 8
	for _, c := range []struct {
		name string
		q    Query
		want []uint64
		next uint64
		more bool
	}{
		{"all", Query{Limit: 100}, []uint64{1, 2, 3, 4, 5, 6, 7, 8}, 8, false},
		{"a page", Query{Limit: 3}, []uint64{1, 2, 3}, 3, true},
		{"the next", Query{After: 3, Limit: 3}, []uint64{4, 5, 6}, 6, true},
		{"the last", Query{After: 6, Limit: 3}, []uint64{7, 8}, 8, false},
		{"after all", Query{After: 8, Limit: 3}, nil, 8, false},
		{"of a gateway", Query{GatewayID: "a", Groups: []string{"x"}, Limit: 100}, []uint64{1, 3, 5, 6, 8}, 8, false},
		{"of a gateway, a page", Query{GatewayID: "a", Groups: []string{"x"}, Limit: 2}, []uint64{1, 3}, 3, true},
		{"of a gateway without groups", Query{GatewayID: "c", Limit: 100}, []uint64{5, 7}, 8, false},
		{"of a type", Query{Type: "u", Limit: 100}, []uint64{3, 6, 8}, 8, false},
		{"of both", Query{GatewayID: "a", Type: "u", Limit: 100}, []uint64{6, 8}, 8, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, next, more, err := l.List(t.Context(), c.q)
			if err != nil {
				t.Fatal(err)
			}
			var got []uint64
			for _, e := range list {
				got = append(got, e.Cursor.Seq)
			}
			if !cmp.Equal(got, c.want) || next.Seq != c.next || more != c.more {
				t.Errorf("%v, next %v, more %v; want %v, %d, %v", got, next, more, c.want, c.next, c.more)
			}
		})
	}
}

func TestBack(t *testing.T) {
	l := open(t, config{})
	if c, err := l.Back(t.Context(), 1000); err != nil || c.Seq != 0 {
		t.Errorf("of nothing: %v, %v", c, err)
	}
	for i := range 100 {
		add(t, l, i)
	}
	if c, err := l.Back(t.Context(), 1<<30); err != nil || c.Seq != 0 {
		t.Errorf("of more than there is: %v, %v", c, err)
	}
	info, err := l.stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c, err := l.Back(t.Context(), int64(info.Bytes/4)); err != nil || c.Seq < 70 || c.Seq > 80 {
		t.Errorf("of a quarter: %v, %v", c, err)
	}
}

// The log stores an idempotency key once in two minutes, also across a restart.
func TestIdempotency(t *testing.T) {
	dir := t.TempDir()
	l := open(t, config{Dir: dir})
	seen := make(chan Entry, 10)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Tail(ctx, event.Cursor{}, func(e Entry) { seen <- e }) })
	publish := func(l *testLog, key, correlation string) (event.Cursor, bool) {
		t.Helper()
		ev := &event.Event{Target: to("a"), Type: "t", IdempotencyKey: key, Receipt: "receipt of " + correlation, Timestamp: time.Now(), CorrelationID: correlation}
		p, err := l.AppendAsync(ev, ev.AppendBody(nil))
		if err != nil {
			t.Fatal(err)
		}
		c, err := p.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c, p.Duplicate()
	}
	first, again := publish(l, "k", "one")
	second, twice := publish(l, "k", "two")
	other, fresh := publish(l, "größe", "three")
	if again || !twice || fresh || second != first || other == first {
		t.Errorf("%v %v, %v %v, %v %v", first, again, second, twice, other, fresh)
	}
	for _, want := range []string{"one", "three"} { // and never "two"
		if e := <-seen; !strings.Contains(string(e.Body), want) {
			t.Errorf("the tail got %s, want %s", e.Body, want)
		}
	}
	cancel()
	wg.Wait()
	closeLog(t, l)
	l = open(t, config{Dir: dir})
	if c, duplicate := publish(l, "k", "four"); !duplicate || c != first {
		t.Errorf("after a restart: %v, %v", c, duplicate)
	}
	if e, err := l.Get(t.Context(), first.Seq); err != nil || e.Receipt != "receipt of one" {
		t.Errorf("the log keeps %q, %v", e.Receipt, err)
	}
}

// fill appends n events and waits for the last.
func fill(tb testing.TB, l *testLog, n int) {
	tb.Helper()
	for i := range n - 1 {
		ev, body := newEvent(i)
		if _, err := l.AppendAsync(ev, body); err != nil {
			tb.Fatal(err)
		}
	}
	add(tb, l, n-1)
}

// Read returns every event once and in order, while others are appended.
func TestReadWhileAppending(t *testing.T) {
	t.Parallel() // mostly waits
	for _, c := range []struct {
		name string
		cfg  config
		n    int
	}{{"file", config{}, 100_000}, {"memory", config{InMemory: true}, 10_000}} {
		t.Run(c.name, func(t *testing.T) {
			l, n := open(t, c.cfg), c.n
			fill(t, l, n)
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for i := n; ; i++ {
					select {
					case <-stop:
						return
					default:
						ev, body := newEvent(i)
						_, _ = l.Append(t.Context(), ev, body)
					}
				}
			}()
			next := uint64(1001)
			upTo, err := l.Read(t.Context(), 1000, func(e Entry) error {
				if e.Cursor.Seq != next {
					return fmt.Errorf("got %d; want %d", e.Cursor.Seq, next)
				}
				next++
				return nil
			})
			close(stop)
			<-stopped
			if err != nil || upTo < uint64(n) || next != upTo+1 {
				t.Errorf("read to %d of %d, %v", next-1, upTo, err)
			}
		})
	}
}

func TestReadFromBeforeTheFirst(t *testing.T) {
	l := open(t, config{RetentionBytes: 10_000})
	fill(t, l, 1000)
	first, last, err := l.Bounds(t.Context())
	if err != nil || first < 2 {
		t.Fatal(first, err)
	}
	var seqs []uint64
	upTo, err := l.Read(t.Context(), 0, func(e Entry) error {
		seqs = append(seqs, e.Cursor.Seq)
		return nil
	})
	if err != nil || upTo != last || uint64(len(seqs)) != last-first+1 || seqs[0] != first {
		t.Errorf("%d events up to %d, %v; want %d to %d", len(seqs), upTo, err, first, last)
	}
}

// An error of the function is returned, also that of the last event.
func TestReadReturnsTheError(t *testing.T) {
	l := open(t, config{InMemory: true})
	fill(t, l, 3)
	boom := errors.New("boom")
	for range 50 {
		for at := uint64(1); at <= 3; at++ {
			calls := uint64(0)
			_, err := l.Read(t.Context(), 0, func(e Entry) error {
				calls++
				if e.Cursor.Seq == at {
					return boom
				}
				return nil
			})
			if !errors.Is(err, boom) || calls != at {
				t.Fatalf("at %d: %v after %d calls", at, err, calls)
			}
		}
	}
}

// Rare events are found in pages, each of which returns soon.
func TestListOfWhatIsRare(t *testing.T) {
	t.Parallel() // mostly waits
	l := open(t, config{})
	fill(t, l, 60_000)
	var found []Entry
	for q, more := (Query{Type: "test.n59999", Limit: 1}), true; more; {
		list, next, goesOn, err := l.List(t.Context(), q)
		if err != nil || goesOn && next.Seq <= q.After {
			t.Fatalf("from %d to %d: %v", q.After, next.Seq, err)
		}
		q.After, more, found = next.Seq, goesOn, append(found, list...)
	}
	if len(found) != 1 || found[0].Cursor.Seq != 60_000 {
		t.Errorf("found %d events", len(found))
	}
}

// BenchmarkRead reads 200-byte events.
func BenchmarkRead(b *testing.B) {
	const n = 300_000
	l := open(b, config{})
	events, bodies := benchEvents()
	for i := range n {
		if _, err := l.AppendAsync(events[i%2000], bodies[i%2000]); err != nil {
			b.Fatal(err)
		}
	}
	add(b, l, n) // everything before it is answered
	b.SetBytes(int64(n * len(bodies[0])))
	for b.Loop() {
		if _, err := l.Read(b.Context(), 0, func(Entry) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// Large events come in pages that are bounded in bytes, all of them and in order, also those
// that are larger than a request allows, between many small ones.
func TestListOfLongEvents(t *testing.T) {
	l := open(t, config{MaxEventBytes: 4 << 20})
	sizes := []int{10, 900 << 10, 900 << 10, 2 << 20, 10, 3 << 20, 10, 10, 900 << 10, 900 << 10, 900 << 10, 10}
	for range 300 {
		sizes = append(sizes, 100)
	}
	for _, size := range sizes {
		ev := &event.Event{Target: to("a"), Type: "t", Payload: []byte(`"` + strings.Repeat("x", size) + `"`), CorrelationID: "c"}
		p, err := l.AppendAsync(ev, ev.AppendBody(nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	const most = 1 << 20
	at, pages := event.Cursor{}, 0
	for seen := uint64(0); ; pages++ {
		list, next, more, err := l.List(t.Context(), Query{After: at.Seq, Limit: 100, Bytes: most})
		if err != nil {
			t.Fatal(err)
		}
		bytes := 0
		for i, e := range list {
			if seen++; e.Cursor.Seq != seen {
				t.Fatalf("event %d comes after %d", e.Cursor.Seq, seen-1)
			}
			if i < len(list)-1 {
				bytes += len(e.Body)
			}
		}
		if bytes >= most || len(list) > 100 {
			t.Errorf("a page of %d events has %d bytes ahead of its last event", len(list), bytes)
		}
		if at = next; !more {
			if seen != uint64(len(sizes)) {
				t.Errorf("%d events of %d were listed", seen, len(sizes))
			}
			break
		}
	}
	if pages < 5 {
		t.Errorf("%d pages", pages)
	}
}
