// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatecast/gatecast/internal/event"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		appendUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

// newEvent returns event number n, for one gateway, and its body. The number is in its type.
func newEvent(n int) (*event.Event, []byte) {
	ev := &event.Event{
		Target:        event.Target{GatewayIDs: []string{fmt.Sprintf("gw-%d", n%7)}},
		Type:          fmt.Sprintf("test.n%d", n),
		Payload:       []byte(`{"some":"payload"}`),
		Timestamp:     time.Date(2026, 3, 1, 12, 0, 0, n, time.UTC),
		CorrelationID: "c",
	}
	return ev, ev.AppendBody(nil)
}

func add(tb testing.TB, l *testLog, n int) event.Cursor {
	tb.Helper()
	ev, body := newEvent(n)
	c, err := l.Append(tb.Context(), ev, body)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestLastAndEpoch(t *testing.T) {
	before := time.Now()
	l := open(t, config{})
	epoch := time.UnixMilli(int64(l.Epoch()))
	if epoch.Before(before.Add(-time.Second)) || epoch.After(time.Now().Add(time.Second)) {
		t.Errorf("epoch %v is not the time the log was made", epoch)
	}
	if want := (event.Cursor{Epoch: l.Epoch()}); l.Last() != want {
		t.Errorf("a new log's last is %v, want %v", l.Last(), want)
	}
	for i := range 3 {
		c := add(t, l, i)
		if want := (event.Cursor{Epoch: l.Epoch(), Seq: uint64(i) + 1}); c != want || l.Last() != want {
			t.Errorf("append %d: cursor %v, last %v, want %v", i, c, l.Last(), want)
		}
	}
}

func TestRestartKeepsPlace(t *testing.T) {
	cfg := config{Dir: filepath.Join(t.TempDir(), "data", "log")}
	l := open(t, cfg)
	epoch := l.Epoch()
	for i := range 10 {
		add(t, l, i)
	}
	closeLog(t, l)

	cfg.Retention = time.Hour // settings may change between two starts
	l = open(t, cfg)
	if l.Epoch() <= epoch || l.Last() != (event.Cursor{Epoch: l.Epoch(), Seq: 11}) { // of the marker
		t.Fatalf("after a restart epoch %d and last %v", l.Epoch(), l.Last())
	}
	if c := add(t, l, 10); c != (event.Cursor{Epoch: l.Epoch(), Seq: 12}) {
		t.Errorf("the first event after a restart is %v", c)
	}
	all := read(t, l, event.Cursor{}, 12)
	for i, e := range append(all[:10:10], all[11]) {
		if i < 10 && e.Cursor != (event.Cursor{Epoch: epoch, Seq: uint64(i) + 1}) {
			t.Errorf("event %d is called %v now", i, e.Cursor)
		}
		if _, body := newEvent(i); string(e.Body) != string(body) {
			t.Errorf("event %d is %s, want %s", i, e.Body, body)
		}
	}
}

// Events are in the order in which they were appended, whatever the clock does.
func TestClockSetBack(t *testing.T) {
	l := open(t, config{Retention: time.Hour})
	now := time.Now()
	for i, at := range []time.Duration{0, 5 * time.Hour, -5 * time.Hour, time.Minute, -48 * time.Hour} {
		ev, _ := newEvent(i)
		ev.Timestamp = now.Add(at)
		if _, err := l.Append(t.Context(), ev, ev.AppendBody(nil)); err != nil {
			t.Fatal(err)
		}
	}
	for i, e := range read(t, l, event.Cursor{}, 5) {
		if e.Cursor.Seq != uint64(i)+1 || !strings.Contains(string(e.Body), fmt.Sprintf(`"type":"test.n%d"`, i)) {
			t.Errorf("event %d is %v %s", i, e.Cursor, e.Body)
		}
	}
}

func TestClosed(t *testing.T) {
	l := open(t, config{InMemory: true})
	b, err := l.Bucket(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	closeLog(t, l) // a second time does nothing

	ev, body := newEvent(0)
	_, appendErr := l.Append(t.Context(), ev, body)
	_, asyncErr := l.AppendAsync(ev, body)
	_, _, getErr := b.Get(t.Context(), "k")
	for what, err := range map[string]error{
		"Append":      appendErr,
		"AppendAsync": asyncErr,
		"Tail":        l.Tail(t.Context(), event.Cursor{}, func(Entry) {}),
		"Check":       l.Check(t.Context()),
		"Get":         getErr,
		"Watch":       b.Watch(t.Context(), nil),
	} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
}

func TestCheck(t *testing.T) {
	l := open(t, config{})
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("a healthy log: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Check(ctx); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an ended context: %v", err)
	}
	if err := l.js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without its stream: %v", err)
	}
}
