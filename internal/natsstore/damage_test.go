// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
	"github.com/gatecast/gatecast/internal/natsstore/check"
)

const (
	damagedEvents = 20
	damagedKeys   = 20
)

// aStore returns the folder of a closed log that has events, keys in a bucket and records in a
// journal.
func aStore(t *testing.T) (dir string, epoch uint64) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "log")
	l := open(t, Config{Dir: dir})
	for i := range damagedEvents {
		add(t, l, i)
	}
	b, err := l.Bucket(t.Context(), "registry")
	if err != nil {
		t.Fatal(err)
	}
	for i := range damagedKeys {
		if _, err := b.Create(t.Context(), fmt.Sprint("key", i), fmt.Append(nil, "value", i)); err != nil {
			t.Fatal(err)
		}
	}
	j, err := l.Journal(t.Context(), eventlog.JournalConfig{Name: "notes"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(t.Context(), eventlog.Record{Name: "n", Data: []byte("one")}, eventlog.Record{Name: "n", Data: []byte("two")}); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	return dir, l.Epoch()
}

// remains is what is left of a store.
type remains struct {
	epoch   uint64
	events  []uint64 // sequences
	keys    int
	records int
}

func remainsOf(t *testing.T, l *testStore) (r remains) {
	t.Helper()
	r.epoch = l.Epoch()
	markers := 0
	if _, err := l.Read(t.Context(), 0, func(e eventlog.Entry) error {
		if e.Body == nil {
			markers++
			return nil
		}
		if _, body := newEvent(int(e.Cursor.Seq) - 1 - markers); !bytes.Equal(body, e.Body) {
			t.Errorf("event %v is %s", e.Cursor, e.Body)
		}
		r.events = append(r.events, e.Cursor.Seq)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	b, err := l.Bucket(t.Context(), "registry")
	if err != nil {
		t.Fatal(err)
	}
	for i := range damagedKeys {
		switch value, _, err := b.Get(t.Context(), fmt.Sprint("key", i)); {
		case err == nil && string(value) == fmt.Sprint("value", i):
			r.keys++
		case !errors.Is(err, auth.ErrNotFound):
			t.Errorf("key %d: %q, %v", i, value, err)
		}
	}
	j, err := l.Journal(t.Context(), eventlog.JournalConfig{Name: "notes"})
	if err != nil {
		t.Fatal(err)
	}
	records, err := j.Read(t.Context(), eventlog.JournalQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	r.records = len(records)
	return r
}

// flip inverts one byte of a file, at a fraction of its size.
func flip(at float64) func(string) error {
	return func(name string) error {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		b[int(at*float64(len(b)-1))] ^= 0xff
		return os.WriteFile(name, b, 0o600)
	}
}

// shorten removes n bytes from the end of a file.
func shorten(n int64) func(string) error {
	return func(name string) error {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		return os.Truncate(name, info.Size()-n)
	}
}

func garbage(name string) error {
	return os.WriteFile(name, bytes.Repeat([]byte{0x5a, 0x17, 0, 0, 0x99}, 500), 0o600)
}

// A damaged store is refused. The error names the damage, and the attempt changes nothing.
// After a repair it has everything that was not damaged, in another epoch, and the damaged
// files are aside.
func TestRepair(t *testing.T) {
	t.Parallel() // mostly waits
	const (
		events  = storage.EventsStream
		keys    = "KV_registry"
		journal = "gatecast_notes"
		block   = "msgs/1.blk"
	)
	for _, c := range []struct {
		name         string
		stream, file string
		damage       func(string) error
		events, keys int // that are left, at least
	}{
		{"events, a flipped byte", events, block, flip(.5), damagedEvents - 1, damagedKeys},
		{"events, the first byte", events, block, flip(0), damagedEvents - 1, damagedKeys},
		{"events, the last byte", events, block, flip(1), damagedEvents - 1, damagedKeys},
		{"events, cut short", events, block, shorten(10), damagedEvents - 1, damagedKeys},
		{"events, cut to nothing", events, block, func(f string) error { return os.Truncate(f, 0) }, 0, damagedKeys},
		{"events, garbage", events, block, garbage, 0, damagedKeys},
		{"events, gone", events, block, os.Remove, 0, damagedKeys},
		{"events, description", events, "meta.inf", flip(.5), damagedEvents, damagedKeys},
		{"events, its checksum", events, "meta.sum", flip(.5), damagedEvents, damagedKeys},
		{"events, all gone", events, "", os.RemoveAll, 0, damagedKeys},
		{"keys, a flipped byte", keys, block, flip(.5), damagedEvents, damagedKeys - 1},
		{"keys, cut short", keys, block, shorten(10), damagedEvents, damagedKeys - 1},
		{"keys, garbage", keys, block, garbage, damagedEvents, 0},
		{"keys, description", keys, "meta.inf", garbage, damagedEvents, damagedKeys},
		{"keys, description gone", keys, "meta.inf", os.Remove, damagedEvents, damagedKeys},
		{"journal, garbage", journal, block, garbage, damagedEvents, damagedKeys},
		{"journal, description", journal, "meta.inf", flip(.9), damagedEvents, damagedKeys},
		{"store marker", "../../../" + markerFile, "", garbage, damagedEvents, damagedKeys},
		{"store marker gone", "../../../" + markerFile, "", os.Remove, damagedEvents, damagedKeys},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, epoch := aStore(t)
			if err := c.damage(filepath.Join(check.StreamsDir(dir), c.stream, c.file)); err != nil {
				t.Fatal(err)
			}
			refused(t, dir, filepath.Base(c.stream))
			l := open(t, Config{Dir: dir, Repair: true})
			got := remainsOf(t, l)
			if len(got.events) < c.events || got.keys < c.keys || got.records < 2 && c.stream != journal {
				t.Errorf("left are %+v, want %d events and %d keys at least", got, c.events, c.keys)
			}
			if got.epoch == epoch && c.stream != keys && c.stream != journal {
				t.Error("the epoch is what it was")
			}
			ev, body := newEvent(0)
			if at, err := l.Append(t.Context(), ev, body); err != nil || slices.Contains(got.events, at.Seq) {
				t.Errorf("the next event is %v, %v", at, err)
			}
			closeLog(t, l)
			open(t, Config{Dir: dir}) // it is whole now
		})
	}
}

// refused tries twice to open a damaged store.
func refused(t *testing.T, dir, names string) {
	t.Helper()
	for range 2 {
		l, err := openLog(t.Context(), Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			_ = l.Close()
			t.Fatal("it opens")
		}
		for _, want := range []string{names, "--repair", dir} {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error = %q, want one line with %q", err, want)
			}
		}
	}
}

// A damaged file that was moved aside is unchanged.
func TestRepairDeletesNothing(t *testing.T) {
	dir, _ := aStore(t)
	file := filepath.Join(check.StreamsDir(dir), storage.EventsStream, "msgs/1.blk")
	if err := flip(.5)(file); err != nil {
		t.Fatal(err)
	}
	damaged, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	open(t, Config{Dir: dir, Repair: true})
	found, err := filepath.Glob(filepath.Join(dir, "damaged-*", "jetstream/$G/streams", storage.EventsStream, "msgs/1.blk"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if b, err := os.ReadFile(found[0]); err != nil || !bytes.Equal(b, damaged) {
		t.Error("what lies aside is not what was damaged", err)
	}
}

// Without its index a store is read from its blocks: nothing is lost, and there is nothing to
// repair.
func TestDamagedIndex(t *testing.T) {
	for name, damage := range map[string]func(string) error{"flipped": flip(.5), "garbage": garbage, "gone": os.Remove} {
		t.Run(name, func(t *testing.T) {
			dir, _ := aStore(t)
			for _, stream := range []string{storage.EventsStream, "KV_registry", "gatecast_notes"} {
				if err := damage(filepath.Join(check.StreamsDir(dir), stream, "msgs/index.db")); err != nil {
					t.Fatal(err)
				}
			}
			got := remainsOf(t, open(t, Config{Dir: dir}))
			if len(got.events) != damagedEvents || got.keys != damagedKeys || got.records != 2 {
				t.Errorf("left are %+v", got)
			}
		})
	}
}

// Half a record at the end is what a crash leaves, and is accepted. In the middle no crash
// explains it.
func TestTornEnd(t *testing.T) {
	t.Parallel() // mostly waits
	for _, c := range []struct {
		name   string
		boot   string
		damage func(string) error
		opens  bool
	}{
		{"killed", "", shorten(10), true},
		{"power cut", "another", shorten(10), true},
		{"killed, a description half written", "", nil, true},
		{"killed, damaged in the middle", "", flip(.5), false},
		{"power cut, damaged in the middle", "another", flip(.5), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _ := aStore(t)
			if c.boot == "" { // as it is now
				c.boot = readJSON(t, dir, markerFile)["boot"].(string)
			}
			if err := os.WriteFile(filepath.Join(dir, markerFile), fmt.Appendf(nil, `{"boot":%q}`, c.boot), 0o600); err != nil {
				t.Fatal(err)
			}
			stream := filepath.Join(check.StreamsDir(dir), storage.EventsStream)
			want := damagedEvents - 1
			if c.damage == nil {
				want = damagedEvents
				if err := os.Truncate(filepath.Join(stream, "meta.inf"), 0); err != nil {
					t.Fatal(err)
				}
			} else if err := c.damage(filepath.Join(stream, "msgs/1.blk")); err != nil {
				t.Fatal(err)
			}
			if !c.opens {
				refused(t, dir, storage.EventsStream)
				return
			}
			if got := remainsOf(t, open(t, Config{Dir: dir})); len(got.events) != want {
				t.Errorf("left are %+v", got)
			}
		})
	}
}

// A reader learns where the end of a log can be lost, once.
func TestEndLost(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	before := add(t, l, 0)
	closeLog(t, l)
	changeMarker(t, dir, map[string]any{"boot": "another", "closed": false})
	closeLog(t, open(t, Config{Dir: dir}))
	after := open(t, Config{Dir: dir})
	if seq, ok := after.Resolve(before); seq != 1 || !ok {
		t.Errorf("%v is no longer a position", before)
	}
	var got []eventlog.Entry
	if _, err := after.Read(t.Context(), before.Seq, func(e eventlog.Entry) error { got = append(got, e); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !got[0].Lost || got[0].Body != nil || got[1].Lost {
		t.Errorf("%+v", got)
	}
}

func TestInvalidStoreMarker(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, markerFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), markerFile) {
		t.Errorf("error %v", err)
	}
}

const (
	markerFile  = "life.json"
	extentsFile = "extents.json"
)

// readJSON reads a file of a log's folder.
func readJSON(t *testing.T, dir, file string) (m map[string]any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// changeMarker changes the store marker of a folder. A nil value removes its name.
func changeMarker(t *testing.T, dir string, values map[string]any) {
	t.Helper()
	m := readJSON(t, dir, markerFile)
	for name, value := range values {
		if m[name] = value; value == nil {
			delete(m, name)
		}
	}
	b, err := json.Marshal(m)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, markerFile), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
