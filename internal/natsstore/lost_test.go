// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
	"github.com/gatecast/gatecast/internal/natsstore/check"

	"github.com/google/go-cmp/cmp"
)

// killedStore returns a folder as a killed process leaves it, with the content of aStore.
func killedStore(t *testing.T) string {
	t.Helper()
	closed, _ := aStore(t)
	l := open(t, Config{Dir: killedFrom(t, closed)})
	for i := range 3 {
		add(t, l, damagedEvents+i)
	}
	b, err := l.Bucket(t.Context(), "registry")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(t.Context(), "late", []byte("value")); err != nil {
		t.Fatal(err)
	}
	j, err := l.Journal(t.Context(), eventlog.JournalConfig{Name: "notes"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(t.Context(), eventlog.Record{Name: "n", Data: []byte("three")}); err != nil {
		t.Fatal(err)
	}
	return killedFrom(t, l.cfg.Dir)
}

// killedFrom copies a log's folder, which can be open.
func killedFrom(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "log")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func toFolder(name string) error {
	return errors.Join(os.RemoveAll(name), os.MkdirAll(filepath.Join(name, "inside"), 0o700))
}

func toFile(name string) error {
	return errors.Join(os.RemoveAll(name), os.WriteFile(name, []byte("something"), 0o600))
}

func empty(name string) error { return os.Truncate(name, 0) }

// Whatever is lost of a store, of a closed log and of a killed one: without --repair the
// registry never has less than it had, and the events or a journal are never empty. After a
// repair everything else is there.
func TestLost(t *testing.T) {
	t.Parallel() // mostly waits
	const (
		keys    = "jetstream/$G/streams/KV_registry"
		journal = "jetstream/$G/streams/gatecast_notes"
		events  = "jetstream/$G/streams/gatecast_events"
	)
	for _, c := range []struct {
		file   string
		damage map[string]func(string) error
		// opens: a killed log can be opened with the damage; whole: and has everything.
		opens, whole bool
		keysLeft     bool // when it is repaired
	}{
		{file: keys + "/msgs/1.blk", damage: map[string]func(string) error{
			"gone": os.Remove, "empty": empty, "torn": shorten(10), "cut": shorten(500), "flipped": flip(.5), "a folder": toFolder,
		}},
		{file: keys + "/msgs", damage: map[string]func(string) error{"gone": os.RemoveAll, "a file": toFile}},
		{file: keys, damage: map[string]func(string) error{"gone": os.RemoveAll, "a file": toFile}},
		{file: keys + "/meta.inf", damage: map[string]func(string) error{"a folder": toFolder}, keysLeft: true},
		{file: keys + "/meta.sum", damage: map[string]func(string) error{"a folder": toFolder}, keysLeft: true},
		{file: keys + "/meta.inf", damage: map[string]func(string) error{"gone": os.Remove, "empty": empty}, opens: true, whole: true, keysLeft: true},
		{file: keys + "/meta.sum", damage: map[string]func(string) error{"gone": os.Remove, "empty": empty}, opens: true, whole: true, keysLeft: true},
		{file: journal + "/msgs/1.blk", damage: map[string]func(string) error{"gone": os.Remove, "empty": empty, "a folder": toFolder}, keysLeft: true},
		{file: journal + "/msgs/1.blk", damage: map[string]func(string) error{"torn": shorten(10)}, opens: true, keysLeft: true},
		{file: journal, damage: map[string]func(string) error{"gone": os.RemoveAll, "a file": toFile}, keysLeft: true},
		{file: events + "/msgs/1.blk", damage: map[string]func(string) error{"a folder": toFolder}, keysLeft: true},
		{file: events + "/msgs/1.blk", damage: map[string]func(string) error{"torn": shorten(10)}, opens: true, keysLeft: true},
		{file: events, damage: map[string]func(string) error{"gone": os.RemoveAll, "a file": toFile}, keysLeft: true},
		{file: "jetstream", damage: map[string]func(string) error{"gone": os.RemoveAll, "a file": toFile}},
		{file: "jetstream/$G/streams", damage: map[string]func(string) error{"gone": os.RemoveAll, "a file": toFile}},
		{file: markerFile, damage: map[string]func(string) error{"gone": os.Remove, "empty": empty, "a folder": toFolder}, keysLeft: true},
	} {
		for what, damage := range c.damage {
			for _, killed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s, killed %v", c.file, what, killed), func(t *testing.T) {
					dir, _ := aStore(t)
					if killed {
						dir = killedStore(t)
					}
					if err := damage(filepath.Join(dir, c.file)); err != nil {
						t.Fatal(err)
					}
					if killed && c.opens {
						if got := remainsOf(t, open(t, Config{Dir: dir})); c.whole && (got.keys != damagedKeys || len(got.events) != damagedEvents+3) {
							t.Errorf("left are %+v", got)
						}
						return
					}
					refused(t, dir, "")
					l := open(t, Config{Dir: dir, Repair: true})
					if got := remainsOf(t, l); c.keysLeft && got.keys != damagedKeys || !strings.HasPrefix(c.file, events) && c.keysLeft && len(got.events) < damagedEvents {
						t.Errorf("left are %+v", got)
					}
					closeLog(t, l)
					closeLog(t, open(t, Config{Dir: dir})) // it is whole now
				})
			}
		}
	}
}

// After a kill, the extents must be readable. After a power cut they can be anything.
func TestLostNotes(t *testing.T) {
	t.Parallel() // mostly waits
	for what, damage := range map[string]func(string) error{"gone": os.Remove, "empty": empty, "garbage": garbage, "a folder": toFolder} {
		t.Run(what, func(t *testing.T) {
			dir := killedStore(t)
			down := killedFrom(t, dir)
			if err := errors.Join(damage(filepath.Join(dir, extentsFile)), damage(filepath.Join(down, extentsFile))); err != nil {
				t.Fatal(err)
			}
			refused(t, dir, extentsFile)
			if got := remainsOf(t, open(t, Config{Dir: dir, Repair: true})); got.keys != damagedKeys {
				t.Errorf("left are %+v", got)
			}
			changeMarker(t, down, map[string]any{"boot": "another"})
			if isFolder(filepath.Join(down, extentsFile)) {
				return // no power cut makes one
			}
			if got := remainsOf(t, open(t, Config{Dir: down})); got.keys != damagedKeys {
				t.Errorf("after a power cut, left are %+v", got)
			}
		})
	}
}

// After a power cut a registry can lack its newest changes, and nothing else.
func TestLostInPowerCut(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(string) error
		opens  bool
	}{"torn": {shorten(10), true}, "empty": {empty, false}, "gone": {os.Remove, false}} {
		t.Run(name, func(t *testing.T) {
			dir := killedStore(t)
			changeMarker(t, dir, map[string]any{"boot": "another"})
			if err := c.damage(filepath.Join(check.StreamsDir(dir), "KV_registry/msgs/1.blk")); err != nil {
				t.Fatal(err)
			}
			if !c.opens {
				refused(t, dir, "KV_registry")
				return
			}
			if got := remainsOf(t, open(t, Config{Dir: dir})); got.keys != damagedKeys {
				t.Errorf("left are %+v", got)
			}
		})
	}
}

// Expired and purged records and deleted and replaced keys are not missing, after the log was
// closed or killed, or after a power cut.
func TestNothingIsLost(t *testing.T) {
	t.Parallel() // mostly waits
	dir := filepath.Join(t.TempDir(), "log")
	l := open(t, Config{Dir: dir}, eventlog.Config{Retention: 100 * time.Millisecond})
	for i := range 50 {
		add(t, l, i)
	}
	expires, err := l.Journal(t.Context(), eventlog.JournalConfig{Name: "expires", Retention: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	purged, err := l.Journal(t.Context(), eventlog.JournalConfig{Name: "purged"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Bucket(t.Context(), "registry")
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	for i := range 50 {
		if _, err := expires.Append(t.Context(), eventlog.Record{Name: "n", Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if last, err = purged.Append(t.Context(), eventlog.Record{Name: "n", Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint("k", i%10)
		revision, err := b.Create(t.Context(), key, []byte("1"))
		if errors.Is(err, auth.ErrConflict) {
			_, revision, err = b.Get(t.Context(), key)
		}
		if err == nil {
			revision, err = b.Update(t.Context(), key, []byte("2"), revision)
		}
		if err == nil && i%3 == 0 {
			err = b.Delete(t.Context(), key, revision)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := purged.Purge(t.Context(), "n", last+1); err != nil {
		t.Fatal(err)
	}
	for {
		first, last, err := expires.Bounds(t.Context())
		f, e, err2 := l.Bounds(t.Context())
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if first > last && f > e {
			break
		}
	}
	if err := l.Checkpoint(t.Context(), l.Last().Seq); err != nil {
		t.Fatal(err)
	}
	killed, down := killedFrom(t, dir), killedFrom(t, dir)
	closeLog(t, l)
	extents := readJSON(t, killed, extentsFile)
	changeMarker(t, down, map[string]any{"boot": "another", "extents": extents})
	want := map[string]any{
		"KV_registry":        map[string]any{"last": 91., "keys": 10.},
		"gatecast_purged":    map[string]any{"last": 50.},
		storage.EventsStream: map[string]any{"last": 50.},
	}
	for stream, e := range want {
		if diff := cmp.Diff(e, extents[stream]); diff != "" {
			t.Errorf("extent of %s: %s", stream, diff)
		}
	}
	for name, dir := range map[string]string{"closed": dir, "killed": killed, "down": down} {
		closeLog(t, open(t, Config{Dir: dir}))
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// A folder of the version before has no extents, and can be opened.
func TestFolderOfTheVersionBefore(t *testing.T) {
	dir := killedStore(t)
	changeMarker(t, dir, map[string]any{"tracked": nil, "extents": nil})
	if err := os.Remove(filepath.Join(dir, extentsFile)); err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(filepath.Dir(dir), "log.json")
	log := open(t, Config{Dir: dir, Sentinel: marker})
	if got := remainsOf(t, log); got.keys != damagedKeys {
		t.Errorf("left are %+v", got)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Error("there is no marker")
	}
	dir = killedFrom(t, dir)
	if err := os.RemoveAll(filepath.Join(check.StreamsDir(dir), "KV_registry")); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, "KV_registry")
}

// A log that is lost as a whole is noticed. A log that never existed is not missed.
func TestLogIsGone(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"gone": os.RemoveAll, "a file": toFile,
		"empty": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			marker := filepath.Join(filepath.Dir(dir), "log.json")
			l := open(t, Config{Dir: dir, Sentinel: marker}) // a first start
			add(t, l, 0)
			epoch := l.Epoch()
			closeLog(t, l)
			closeLog(t, open(t, Config{Dir: dir, Sentinel: marker}))
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				l, err := openLog(t.Context(), Config{Dir: dir, Sentinel: marker, Logger: slog.New(slog.DiscardHandler)})
				if err == nil {
					_ = l.Close()
					t.Fatal("it opens")
				}
				if text := err.Error(); !strings.Contains(text, "--repair") || !strings.Contains(text, marker) || strings.Contains(text, "\n") {
					t.Errorf("error %q", text)
				}
			}
			l = open(t, Config{Dir: dir, Sentinel: marker, Repair: true})
			if l.Epoch() == epoch || l.Last().Seq != 0 {
				t.Errorf("it begins at %v, in the epoch before: %v", l.Last(), l.Epoch() == epoch)
			}
			closeLog(t, l)
			closeLog(t, open(t, Config{Dir: dir, Sentinel: marker}))
		})
	}
	open(t, Config{InMemory: true, Sentinel: filepath.Join(t.TempDir(), "log.json")})
}
