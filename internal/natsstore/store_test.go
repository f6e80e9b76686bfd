// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, Config{Dir: dir})
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
	l := open(t, Config{InMemory: true})
	add(t, l, 0)
	if l.Last().Seq != 1 {
		t.Errorf("the newest event is %v", l.Last())
	}
	if err := l.Check(t.Context()); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
	if left, _ := os.ReadDir(temp); len(left) != 0 {
		t.Errorf("these files are left: %v", left)
	}
	l = open(t, Config{InMemory: true})
	if l.Last().Seq != 0 {
		t.Errorf("a new log in memory begins at %v", l.Last())
	}
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := open(t, Config{})
	cases := []struct {
		name   string
		cfg    Config
		events eventlog.Config
		want   []string
	}{
		{"no folder", Config{}, eventlog.Config{}, []string{"no folder"}},
		{"below a file", Config{Dir: filepath.Join(file, "log")}, eventlog.Config{}, []string{"cannot make", file, "choose another"}},
		{"is a file", Config{Dir: file}, eventlog.Config{}, []string{file, "choose another"}},
		{"in use", Config{Dir: used.cfg.Dir}, eventlog.Config{}, []string{"in use by another process", used.cfg.Dir}},
		{"short retention", Config{InMemory: true}, eventlog.Config{Retention: time.Millisecond}, []string{"retention 1ms", "100ms"}},
		{"negative retention", Config{InMemory: true}, eventlog.Config{Retention: -1}, []string{"retention"}},
		{"negative bytes", Config{InMemory: true}, eventlog.Config{RetentionBytes: -1}, []string{"-1 bytes"}},
		{"huge events", Config{InMemory: true, MaxEventBytes: 1 << 31}, eventlog.Config{}, []string{"2147483648 bytes"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l, err := openLog(t.Context(), c.cfg, c.events)
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
			l := open(t, Config{Dir: dir})
			add(t, l, 0)
			closeLog(t, l)
			if err := c.damage(filepath.Join(dir, "jetstream", "$G", "streams", storage.EventsStream)); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first try must not have made it worse
				l, err := openLog(t.Context(), Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
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
	if l, err := openLog(ctx, Config{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("log %v, error %v", l, err)
	}
	open(t, Config{Dir: dir}) // nothing holds the folder
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
		l := open(t, Config{})
		b, err := l.Bucket(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Create(t.Context(), "k", nil); err != nil {
			t.Fatal(err)
		}
		add(t, l, 0)
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
