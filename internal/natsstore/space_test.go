// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
	"github.com/gatecast/gatecast/test/testenv"
)

func TestSpace(t *testing.T) {
	free, looks := int64(1<<30), 0
	var failure error
	now := time.Unix(1000, 0)
	s := newSpace("dir", 1<<20)
	s.free = func(string) (int64, error) { looks++; return free, failure }
	s.now = func() time.Time { return now }

	take := func(n, wantLooks int, ok bool) {
		t.Helper()
		if err := s.take(n); (err == nil) != ok || err != nil && !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("take %d: %v", n, err)
		}
		if looks != wantLooks {
			t.Errorf("take %d: %d looks, want %d", n, looks, wantLooks)
		}
	}
	take(1000, 1, true)
	take(1000, 1, true) // trusted
	take(spaceTrustBytes, 2, true)
	now = now.Add(spaceTrustFor)
	take(1000, 3, true)

	free = s.reserve - 1
	take(1000, 3, true) // not seen yet
	now = now.Add(spaceTrustFor)
	take(1000, 4, false)
	take(1000, 5, false) // when full, each time
	free = s.reserve + 1<<20
	take(1000, 6, true)
	take(1000, 6, true)

	failure = errors.New("gone")
	if err := s.check(); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("check: %v", err)
	}
	take(1000, 8, false)
	if err := (*space)(nil).take(1); err != nil {
		t.Error(err)
	}
}

// On a full disk, appends fail and take no sequence. They succeed again when there is room.
func TestFullDisk(t *testing.T) {
	dir := testenv.SmallDisk(t, "32m")
	l := open(t, Config{Dir: filepath.Join(dir, "log")})
	add(t, l, 0)
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(t.Context()); !errors.Is(err, storage.ErrUnavailable) { // looks at the disk
		t.Errorf("check: %v", err)
	}
	b, err := l.Bucket(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	ev, body := newEvent(1)
	_, appendErr := l.Append(t.Context(), ev, body)
	_, createErr := b.Create(t.Context(), "k", []byte("v"))
	for what, err := range map[string]error{"Append": appendErr, "Create": createErr} {
		if !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if c := add(t, l, 2); c.Seq != 2 {
		t.Errorf("the refused event took a sequence: the next is %v", c)
	}
	if err := l.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// When other programs fill the disk at once, JetStream fails for good. The next start finds what
// was acknowledged and nothing else.
func TestDiskFilledByOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for an append to time out")
	}
	dir := testenv.SmallDisk(t, "32m")
	l := open(t, Config{Dir: filepath.Join(dir, "log")})
	l.space = nil
	body := make([]byte, 1<<20)
	acked := uint64(0)
	var err error
	for err == nil {
		var c event.Cursor
		if c, err = l.Append(t.Context(), &event.Event{Target: event.Target{All: true}}, body); err == nil {
			acked = c.Seq
		}
	}
	if !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	ev, small := newEvent(0)
	if _, err := l.Append(t.Context(), ev, small); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("the next append: %v", err)
	}
	if err := l.Check(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("check: %v", err)
	}
	closeLog(t, l)

	testenv.ResizeDisk(t, dir, "64m")
	l = open(t, Config{Dir: filepath.Join(dir, "log")})
	if l.Last().Seq != acked+1 { // the marker of the new epoch
		t.Errorf("last %v, want one after %d as acknowledged", l.Last(), acked)
	}
	if c := add(t, l, 0); c.Seq != acked+2 {
		t.Errorf("the next is %v", c)
	}
}
