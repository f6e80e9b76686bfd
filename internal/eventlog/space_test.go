// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatecast/gatecast/internal/event"
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
		if err := s.take(n); (err == nil) != ok || err != nil && !errors.Is(err, ErrUnavailable) {
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
	if err := s.check(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("check: %v", err)
	}
	take(1000, 8, false)
	if err := (*space)(nil).take(1); err != nil {
		t.Error(err)
	}
}

// On a disk that fills up, appends fail without a trace and go on when there is
// room again.
func TestFullDisk(t *testing.T) {
	dir := testenv.SmallDisk(t, "32m")
	l := open(t, Config{Dir: filepath.Join(dir, "log")})
	add(t, l, 0)
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(t.Context()); !errors.Is(err, ErrUnavailable) { // looks at the disk
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
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if c := add(t, l, 2); c.Seq != 2 {
		t.Errorf("the refused event took a place: the next is %v", c)
	}
	if err := l.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// When the disk is full all the same, because others filled it at once, JetStream
// fails for good; a new start finds what was acknowledged and nothing else.
func TestFullDiskUnforeseen(t *testing.T) {
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
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	for l.out.failed() == nil { // the reason is found out just after
		time.Sleep(time.Millisecond)
	}
	ev, small := newEvent(0)
	if _, err := l.Append(t.Context(), ev, small); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the next append: %v", err)
	}
	if err := l.Check(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("check: %v", err)
	}
	closeLog(t, l)

	if err := unix.Mount("gatecast-test", dir, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	l = open(t, Config{Dir: filepath.Join(dir, "log")})
	if l.Last().Seq != acked+1 { // the marker of the new epoch
		t.Errorf("last %v, want one after %d as acknowledged", l.Last(), acked)
	}
	if c := add(t, l, 0); c.Seq != acked+2 {
		t.Errorf("the next is %v", c)
	}
}
