// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, config{Dir: dir})
	st, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700", st.Mode().Perm())
	}
}

func TestMemoryForgets(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	l := open(t, config{InMemory: true})
	add(t, l, 0)
	if got := read(t, l, event.Cursor{}, 1); len(got) != 1 {
		t.Errorf("read %d events, want 1", len(got))
	}
	if err := l.Check(t.Context()); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
	if left, _ := os.ReadDir(temp); len(left) != 0 {
		t.Errorf("these files are left: %v", left)
	}
	l = open(t, config{InMemory: true})
	if l.Last().Seq != 0 {
		t.Errorf("a new log in memory begins at %v", l.Last())
	}
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := open(t, config{})
	cases := []struct {
		name string
		cfg  config
		want []string
	}{
		{"no folder", config{}, []string{"no folder"}},
		{"below a file", config{Dir: filepath.Join(file, "log")}, []string{"cannot make", file, "choose another"}},
		{"is a file", config{Dir: file}, []string{file, "choose another"}},
		{"in use", config{Dir: used.dir}, []string{"in use by another process", used.dir}},
		{"short retention", config{InMemory: true, Retention: time.Millisecond}, []string{"retention 1ms", "100ms"}},
		{"negative retention", config{InMemory: true, Retention: -1}, []string{"retention"}},
		{"negative bytes", config{InMemory: true, RetentionBytes: -1}, []string{"-1 bytes"}},
		{"huge events", config{InMemory: true, MaxEventBytes: 1 << 31}, []string{"2147483648 bytes"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l, err := openLog(t.Context(), c.cfg)
			if err == nil {
				l.Close()
				t.Fatal("opened")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q has several lines", err)
			}
		})
	}
	if c := add(t, used, 0); c.Seq != 1 {
		t.Errorf("the log in use is disturbed: %v", c)
	}
}

// A stream that the server cannot read must not be replaced by an empty one.
func TestDamagedStore(t *testing.T) {
	cases := []struct {
		name   string
		damage func(stream string) error
	}{
		{"meta overwritten", func(s string) error {
			return os.WriteFile(filepath.Join(s, "meta.inf"), []byte("{"), 0o600)
		}},
		{"meta gone", func(s string) error { return os.Remove(filepath.Join(s, "meta.inf")) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			l := open(t, config{Dir: dir})
			add(t, l, 0)
			closeLog(t, l)
			if err := c.damage(filepath.Join(dir, "jetstream", "$G", "streams", streamName)); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first try must not have made it worse
				l, err := openLog(t.Context(), config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
				if err == nil {
					l.Close()
					t.Fatal("opened")
				}
				if !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), dir) {
					t.Errorf("error %q", err)
				}
			}
		})
	}
}

func TestOpenEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := filepath.Join(t.TempDir(), "log")
	if l, err := openLog(ctx, config{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("log %v, error %v", l, err)
	}
	open(t, config{Dir: dir}) // nothing holds the folder
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

func TestCloseLeavesNoDescriptor(t *testing.T) {
	descriptors := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc here")
		}
		return len(fds)
	}
	run := func() {
		l := open(t, config{})
		b, err := l.Bucket(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Create(t.Context(), "k", nil); err != nil {
			t.Fatal(err)
		}
		add(t, l, 0)
		read(t, l, event.Cursor{}, 1)
		closeLog(t, l)
	}
	run() // what the runtime opens once
	before := descriptors()
	for range 3 {
		run()
	}
	if after := descriptors(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
