// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
	"github.com/gatecast/gatecast/test/testenv"
)

func TestAppendAsyncKeepsOrder(t *testing.T) {
	l := open(t, config{})
	const n = windowEvents + 2000 // more than the window
	pending := make([]*Pending, n)
	for i := range pending {
		ev, body := newEvent(i)
		var err error
		if pending[i], err = l.AppendAsync(ev, body); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range pending {
		for range 2 { // a second Wait gives the same
			c, err := p.Wait(t.Context())
			if err != nil || c.Seq != uint64(i)+1 {
				t.Fatalf("event %d: cursor %v, error %v", i, c, err)
			}
		}
	}
	for i, e := range read(t, l, event.Cursor{}, n) {
		if _, body := newEvent(i); !bytes.Equal(e.Body, body) {
			t.Fatalf("event %d is %s", i, e.Body)
		}
	}
}

func TestBodyIsTheCallersAgain(t *testing.T) {
	l := open(t, config{InMemory: true})
	var body []byte
	var last *Pending
	for i := range 1000 {
		ev, _ := newEvent(i)
		body = ev.AppendBody(body[:0])
		var err error
		if last, err = l.AppendAsync(ev, body); err != nil {
			t.Fatal(err)
		}
		clear(body)
	}
	if _, err := last.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, e := range read(t, l, event.Cursor{}, 1000) {
		if _, want := newEvent(i); !bytes.Equal(e.Body, want) {
			t.Fatalf("event %d is %q", i, e.Body)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	l := open(t, config{InMemory: true, MaxEventBytes: 1000})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	ok := event.Target{All: true}
	cases := []struct {
		name        string
		ctx         context.Context
		target      event.Target
		size        int
		unavailable bool
	}{
		{"too large", t.Context(), ok, 1001, false},
		{"nobody", t.Context(), event.Target{}, 10, false},
		{"a star for an id", t.Context(), event.Target{GatewayIDs: []string{"*"}}, 10, false},
		{"a dot in a group", t.Context(), event.Target{Group: "a.b"}, 10, false},
		{"a comma among ids", t.Context(), event.Target{GatewayIDs: []string{"a,b", "c"}}, 10, false},
		{"context over", ended, ok, 10, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := l.Append(c.ctx, &event.Event{Target: c.target}, make([]byte, c.size))
			if err == nil || errors.Is(err, ErrUnavailable) != c.unavailable {
				t.Errorf("error %v", err)
			}
		})
	}
	if l.Last().Seq != 0 {
		t.Errorf("something was appended: %v", l.Last())
	}
	if _, err := l.Append(t.Context(), &event.Event{Target: ok}, make([]byte, 1000)); err != nil {
		t.Errorf("the largest event: %v", err)
	}
}

// The longest list of gateways and the longest key of an event fit into the headers that
// JetStream allows.
func TestLongestHeader(t *testing.T) {
	l := open(t, config{InMemory: true})
	appended := 0
	for _, c := range []struct {
		gateways int
		key      string
		refused  bool
	}{
		{event.MaxGatewayIDs, strings.Repeat("\x01", event.MaxKeyLen), false},
		{event.MaxGatewayIDs, strings.Repeat("ä", event.MaxKeyLen/2), false},
		{event.MaxGatewayIDs, strings.Repeat("ä", event.MaxKeyLen/2+1), true},
		{976, strings.Repeat("😀", event.MaxKeyLen), false},
		{977, strings.Repeat("😀", event.MaxKeyLen), true},
		{0, strings.Repeat("😀", event.MaxKeyLen), false},
	} {
		d := event.Draft{All: c.gateways == 0, Type: "t", Key: c.key, Payload: []byte(`"` + strings.Repeat("x", 1<<20-400) + `"`)}
		for i := range c.gateways {
			d.GatewayIDs = append(d.GatewayIDs, fmt.Sprintf("%s%03d", strings.Repeat("x", event.MaxNameLen-3), i))
		}
		ev, err := d.Event(time.Now(), func() string { return "c" })
		if (err != nil) != c.refused {
			t.Errorf("%d gateways and a key of %d bytes: %v", c.gateways, len(c.key), err)
		}
		if err != nil {
			continue
		}
		ev.IdempotencyKey, ev.Receipt = fmt.Sprintf("%043d", appended), strings.Repeat("r", event.MaxReceiptLen) // as the api makes them
		if _, err := l.Append(t.Context(), ev, ev.AppendBody(nil)); err != nil {
			t.Fatalf("%d gateways and a key of %d bytes: %v", c.gateways, len(c.key), err)
		}
		appended++
		got := read(t, l, event.Cursor{}, appended)[appended-1]
		if strings.Join(got.Target.GatewayIDs, ",") != strings.Join(ev.Target.GatewayIDs, ",") || got.Key != c.key {
			t.Errorf("%d gateways and a key of %d bytes came back as %d and %d", c.gateways, len(c.key), len(got.Target.GatewayIDs), len(got.Key))
		}
	}
}

func TestAppendManyLarge(t *testing.T) {
	if testenv.Race {
		t.Skip("with the race detector on a busy machine, the last of them waits longer than an append can")
	}
	l := open(t, config{InMemory: true, RetentionBytes: 8 << 20})
	body := make([]byte, 1<<20)
	var wg sync.WaitGroup
	for range 140 { // 140 MiB, above what JetStream takes at once
		wg.Go(func() {
			if _, err := l.Append(t.Context(), &event.Event{Target: event.Target{All: true}}, body); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestAppendWithoutStream(t *testing.T) {
	l := open(t, config{})
	if err := l.js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	ev, body := newEvent(0)
	if c, err := l.Append(t.Context(), ev, body); !errors.Is(err, ErrUnavailable) {
		t.Errorf("cursor %v, error %v", c, err)
	}
}

// A silentStore is a store that gives no answer.
type silentStore struct{ storage.Store }

func (silentStore) LastError() string { return "" }

// silent returns an appender whose log gives no answer.
func silent() *appender {
	l := &Log{store: silentStore{}}
	l.history = newHistory(l, storage.StreamConfig{Name: streamName}, "", nil)
	l.history.adopt(firstEpoch(1), 0, false)
	a := newAppender(l)
	a.diagnosing.Store(true) // there is no server to ask
	return a
}

func TestUnansweredAppendFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := silent()
		start := time.Now()
		_, first, _ := a.enter(t.Context(), 10, Entry{})
		time.Sleep(3 * time.Second)
		number, second, _ := a.enter(t.Context(), 10, Entry{})
		_, third, _ := a.enter(t.Context(), 10, Entry{})
		a.answered(number, storage.Ack{Seq: 7}, nil)
		for _, c := range []struct {
			p    *Pending
			seq  uint64
			time time.Duration
		}{{second, 7, 3 * time.Second}, {first, 0, 8 * time.Second}, {third, 0, 8 * time.Second}} {
			cursor, err := c.p.Wait(t.Context())
			if cursor.Seq != c.seq || errors.Is(err, ErrUnavailable) == (c.seq > 0) || time.Since(start) != c.time {
				t.Errorf("cursor %v, error %v after %v; want %d after %v", cursor, err, time.Since(start), c.seq, c.time)
			}
		}
		a.answered(number+1, storage.Ack{Seq: 8}, nil) // an answer that comes too late changes nothing
		if c, err := third.Wait(t.Context()); err == nil {
			t.Errorf("a late answer changed the result to %v", c)
		}
	})
}

// On a slow disk, appends do not fail while others are answered.
func TestAppendWaitsWhileOthersAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := silent()
		var line []*Pending
		for range 10 {
			_, p, err := a.enter(t.Context(), 10, Entry{})
			if err != nil {
				t.Fatal(err)
			}
			line = append(line, p)
		}
		for i, p := range line[:9] {
			time.Sleep(appendTimeout - time.Second)
			a.answered(uint64(i)+1, storage.Ack{Seq: uint64(i) + 1}, nil)
			if c, err := p.Wait(t.Context()); err != nil || c.Seq != uint64(i)+1 {
				t.Errorf("cursor %v, error %v", c, err)
			}
		}
		last := time.Now()
		if _, err := line[9].Wait(t.Context()); !errors.Is(err, ErrUnavailable) || time.Since(last) != appendTimeout {
			t.Errorf("error %v after %v", err, time.Since(last))
		}
	})
}

// An append whose answer is lost fails, also while others are answered.
func TestOvertakenIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := silent()
		_, lost, _ := a.enter(t.Context(), 10, Entry{})
		start := time.Now()
		for {
			for range windowEvents / 4 {
				number, _, err := a.enter(t.Context(), 10, Entry{})
				if err != nil {
					t.Fatal(err)
				}
				a.answered(number, storage.Ack{Seq: number}, nil)
			}
			select {
			case <-lost.done:
				if waited := time.Since(start); waited < appendTimeout || waited > 3*appendTimeout {
					t.Errorf("given up after %v", waited)
				}
				return
			case <-time.After(time.Second):
			}
		}
	})
}

func TestWindow(t *testing.T) {
	cases := []struct {
		name string
		size int
		fit  int
	}{
		{"events", 1, windowEvents},
		{"bytes", windowBytes / 8, 8},
		{"larger than the window", windowBytes + 1, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := silent()
				for range c.fit {
					if _, _, err := a.enter(t.Context(), c.size, Entry{}); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, _, err := a.enter(ctx, c.size, Entry{}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a full window let another in: %v", err)
				}
				entered := make(chan error, 3)
				for range cap(entered) {
					go func() { _, _, err := a.enter(t.Context(), c.size, Entry{}); entered <- err }()
				}
				synctest.Wait()
				a.failAll(ErrUnavailable)
				for range min(cap(entered), c.fit) {
					if err := <-entered; err != nil {
						t.Error(err)
					}
				}
				time.Sleep(appendTimeout) // whoever is left is let in when the rest is given up
				synctest.Wait()
				time.Sleep(appendTimeout)
			})
		})
	}
}

func TestDrainLetsWaitersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := silent()
		_, p, _ := a.enter(t.Context(), windowBytes, Entry{})
		refused := make(chan error)
		go func() { _, _, err := a.enter(t.Context(), 1, Entry{}); refused <- err }()
		synctest.Wait()
		drained := make(chan struct{})
		go func() { a.drain(); close(drained) }()
		if err := <-refused; !errors.Is(err, ErrUnavailable) {
			t.Errorf("error %v", err)
		}
		<-drained
		if _, err := p.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("error %v", err)
		}
	})
}

func TestCloseAnswersWhatIsUnderWay(t *testing.T) {
	l := open(t, config{InMemory: true})
	var pending []*Pending
	for i := range 1000 {
		ev, body := newEvent(i)
		p, err := l.AppendAsync(ev, body)
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
	}
	closeLog(t, l)
	for i, p := range pending {
		if c, err := p.Wait(t.Context()); err != nil || c.Seq != uint64(i)+1 {
			t.Fatalf("event %d: cursor %v, error %v", i, c, err)
		}
	}
}
