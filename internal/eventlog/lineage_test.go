// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatecast/gatecast/internal/event"
)

func at(epoch, seq uint64) event.Cursor { return event.Cursor{Epoch: epoch, Seq: seq} }

func TestLineage(t *testing.T) {
	l := firstEpoch(7).next(8, 10).next(9, 15).next(20, 12) // went back from 15 or more to 12
	for _, c := range []struct {
		position event.Cursor
		contains bool
		clamped  uint64
		known    bool
	}{
		{at(7, 0), true, 0, true},
		{at(7, 10), true, 10, true},
		{at(7, 11), false, 10, true},
		{at(8, 10), false, 10, true}, // is called (7, 10)
		{at(8, 11), true, 11, true},
		{at(8, 12), true, 12, true},
		{at(8, 13), false, 12, true}, // was before it went back
		{at(9, 16), false, 0, false}, // the epoch that nothing is left of
		{at(20, 12), false, 12, true},
		{at(20, 13), true, 13, true},
		{at(20, 1000), true, 1000, true},
		{at(6, 3), false, 0, false},
	} {
		seq, known := l.Clamp(c.position)
		if got := l.Contains(c.position); got != c.contains || seq != c.clamped || known != c.known {
			t.Errorf("%v: contained %v, clamped to %d, %v; want %+v", c.position, got, seq, known, c)
		}
	}
	if l.Epoch() != 20 {
		t.Errorf("%+v", l)
	}
	if all := firstEpoch(7).next(8, 0); all.Contains(at(7, 0)) || !all.Contains(at(8, 0)) || len(all.epochs) != 1 {
		t.Errorf("nothing is common, and %+v is left", all)
	}
}

// An id is a position in the history that it comes from, and belongs to one event.
func TestLineageNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLineage(t)
		for seq := l.floor + 1; seq < 60; seq++ {
			c := l.CursorOf(seq)
			if !l.Contains(c) || c.Seq != seq {
				t.Fatalf("%d is called %v, which is no position of %+v", seq, c, l)
			}
		}
		other := l.next(newEpoch(l.Epoch()), rapid.Uint64Range(0, 60).Draw(t, "after"))
		common := l.Common(other)
		if common != other.Common(l) {
			t.Fatalf("%d is common, and %d the other way round", common, other.Common(l))
		}
		for seq := max(l.floor, other.floor) + 1; seq < 60; seq++ {
			if same := l.CursorOf(seq) == other.CursorOf(seq); same != (seq <= common) {
				t.Fatalf("%d: %v and %v, and %d is common to %+v and %+v", seq, l.CursorOf(seq), other.CursorOf(seq), common, l, other)
			}
		}
	})
}

func drawLineage(t *rapid.T) *Lineage {
	l := firstEpoch(1)
	for n, number := rapid.IntRange(0, 8).Draw(t, "epochs"), uint64(2); n > 0; n, number = n-1, number+1 {
		l = l.next(number, rapid.Uint64Range(0, 50).Draw(t, "last"))
	}
	return l
}

func TestMarker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLineage(t)
		l.lost = rapid.Bool().Draw(t, "lost")
		got, err := parseMarker(l.appendMarker(nil), 100)
		if err != nil || !got.equal(l) || got.marker != 100 || got.lost != l.lost {
			t.Fatalf("%s is read as %+v, %v", l.appendMarker(nil), got, err)
		}
	})
	for _, text := range []string{
		``, `{}`, `null`, `[]`, `{"version":1}`, `{"version":0,"epoch":"a"}`, `{"version":1,"epoch":"-"}`, `{"version":1,"epoch":"0"}`,
		`{"version":1,"epoch":"a","earlier":[{"epoch":"a","last":1}]}`,
		`{"version":1,"epoch":"a","earlier":[{"epoch":"b","last":3},{"epoch":"c","last":3}]}`,
		`{"version":1,"epoch":"a","earlier":[{"epoch":"b","last":100}]}`,
		`{"version":1,"epoch":"a","floor":5,"earlier":[{"epoch":"b","last":4}]}`,
		`{"version":1,"epoch":"a","earlier":[` + strings.Repeat(`{"epoch":"b","last":1},`, 3) + `]}`,
	} {
		if l, err := parseMarker([]byte(text), 100); !errors.Is(err, errMarker) {
			t.Errorf("%s is read as %+v, %v", text, l, err)
		}
	}
	if _, err := parseMarker([]byte(`{"version":2,"whatever":1}`), 9); !errors.Is(err, errMarkerVersion) {
		t.Errorf("of a later version: %v", err)
	}
}

// The list of epochs is bounded: epochs without an event are removed first, and then the
// oldest, whose events then have no id.
func TestLineageIsBounded(t *testing.T) {
	l := firstEpoch(1)
	for i := range uint64(3 * maxEpochs) { // starts without an event between them
		l = l.next(i+2, 10+i)
	}
	if len(l.epochs) > maxEpochs || !l.Contains(at(1, 10)) || l.floor != 0 {
		t.Errorf("%d epochs, floor %d", len(l.epochs), l.floor)
	}
	l = firstEpoch(1)
	for i := range uint64(maxEpochs + 10) { // with one each
		l = l.next(i+2, 10+2*i)
	}
	if len(l.epochs) != maxEpochs || l.Contains(at(1, 10)) || l.floor != 10+2*10 || !l.Contains(at(12, 31)) {
		t.Errorf("%d epochs, floor %d, the oldest %+v", len(l.epochs), l.floor, l.epochs[0])
	}
	if size := len(l.appendMarker(nil)); size > 60<<10 {
		t.Errorf("a marker has %d bytes", size)
	}
}

func TestNewEpochGrows(t *testing.T) {
	seen := make(map[uint64]bool)
	for range 1000 {
		n := newEpoch(0)
		later := newEpoch(n)
		if later <= n || newEpoch(math.MaxUint64/2) <= math.MaxUint64/2 {
			t.Fatalf("%d after %d", later, n)
		}
		seen[n] = true
	}
	if len(seen) < 900 { // of so many in a millisecond some are the same
		t.Errorf("%d different epochs of 1,000", len(seen))
	}
}

// Footprints are dense at the end, and bounded.
func TestFootprints(t *testing.T) {
	var f footprints
	for i := range uint64(100_000) {
		f.add(footprint{i + 1, int64(i)})
	}
	if len(f) >= maxFootprints || f.latest().seq != 100_000 {
		t.Errorf("%d, the latest %+v", len(f), f.latest())
	}
	for i, p := range f[len(f)-1000:] {
		if p.seq != uint64(100_000-999+i) {
			t.Fatalf("the newest are not all there: %+v", p)
		}
	}
	f.removeAfter(99_990)
	if f.latest().seq != 99_990 {
		t.Errorf("the latest is %+v", f.latest())
	}
	f.add(footprint{5, 5})
	if f.latest().seq != 99_990 {
		t.Error("an old one was added")
	}
}
