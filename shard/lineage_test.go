// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/gatecast/gatecast/internal/delivery/tracker"
	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/go-cmp/cmp"
)

// A wentBack is the lineage of a log of epoch 7 that was set back to a sequence, after
// which epoch 8 begins.
type wentBack uint64

func (l wentBack) Epoch() uint64 { return 8 }

func (l wentBack) CursorOf(seq uint64) event.Cursor {
	if seq <= uint64(l) {
		return event.Cursor{Epoch: 7, Seq: seq}
	}
	return event.Cursor{Epoch: 8, Seq: seq}
}

func (l wentBack) Contains(c event.Cursor) bool { return c == l.CursorOf(c.Seq) }

func (l wentBack) Clamp(c event.Cursor) (uint64, bool) {
	if c.Epoch == 7 {
		return min(c.Seq, uint64(l)), true
	}
	return c.Seq, c.Epoch == 8
}

// goBack sets the log back to a sequence.
func (r *logRig) goBack(to uint64) {
	r.post(command{do: func(s *state) { s.setLineage(wentBack(to), to) }})
	r.settle()
	r.seq = to
	r.log = r.log[:to-r.log[0].message.Cursor.Seq+1]
}

// publishNewEpoch publishes an event of the epoch that begins when the log was set
// back.
func (r *logRig) publishNewEpoch(t event.Target) {
	r.seq++
	c := event.Cursor{Epoch: 8, Seq: r.seq}
	m := &Message{Wire: fmt.Appendf(nil, "%v\n", c), Cursor: c, Published: r.time.UnixNano()}
	r.log = append(r.log, logged{m, t})
	r.post(command{message: m, to: receiversOf(t)})
	r.settle()
}

// When the log is set back, connections at a later position get resync.required and
// continue; others notice nothing. Nobody gets an event twice, or an event of the old
// history.
func TestLogGoesBack(t *testing.T) {
	r := newLogRig(Config{})
	for range 4 {
		r.publish(to("early"))
	}
	early := r.connect("early") // at 104
	r.settle()
	for range 4 {
		r.publish(to("late"))
	}
	r.settle()
	late, replayed := r.connect("late"), r.resume(101, "early") // at 108, and at 104
	ahead := r.resume(110, "ahead")                             // as another node knew the log
	resumed := r.resume(106, "late")
	r.settle()
	r.goBack(106)
	r.publishNewEpoch(to("late", "early", "ahead")) // 107
	again := r.resume(106, "late")
	r.settle()
	for name, c := range map[string]struct {
		p    *pipe
		want []string
	}{
		"before it": {early, []string{"ack 7-104 false", "8-107"}},
		"resumed":   {replayed, []string{"ack 7-101 true", "7-102", "7-103", "7-104", "resync ahead_of_log 7-106", "8-107"}}, // it had come to 108
		"after it":  {late, []string{"ack 7-108 false", "resync ahead_of_log 7-106", "8-107"}},
		"ahead":     {ahead, []string{"ack 7-110 true", "resync ahead_of_log 7-106", "8-107"}},
		"came on":   {resumed, []string{"ack 7-106 true", "7-107", "7-108", "resync ahead_of_log 7-106", "8-107"}},
		"since":     {again, []string{"ack 7-106 true", "8-107"}},
	} {
		if diff := cmp.Diff(c.want, c.p.received()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A position is checked again when the log was set back since.
func TestPositionOfEarlierLineage(t *testing.T) {
	r := newLogRig(Config{})
	for range 8 {
		r.publish(to("g"))
	}
	r.settle()
	before := r.lineage
	r.goBack(104)
	for _, c := range []struct {
		seq  uint64
		want string
	}{{103, "ack 7-103 true"}, {107, "ack 7-104 false"}} {
		at := event.Cursor{Epoch: 7, Seq: c.seq}
		if got := r.resuming(&Resume{After: c.seq, Position: at, Lineage: before}, "g"); func() bool { r.settle(); return got.received()[0] != c.want }() {
			t.Errorf("from %v: %v, want %s", at, got.received(), c.want)
		}
	}
}

// Nobody reads a page of the old history.
func TestPageOfEarlierLineage(t *testing.T) {
	r := newLogRig(Config{ReplayMemory: 1})
	for range 8 {
		r.publish(to("g"))
	}
	p := r.resume(101, "g")
	r.settle()
	done := make(chan int, 1)
	old := &page{history: newHistory(101), lineage: r.lineage, done: done}
	for _, e := range r.log[1:] {
		old.add(receiversOf(e.target), e.message)
	}
	r.goBack(104)
	r.post(command{page: old})
	r.settle()
	if more := <-done; more != 0 {
		t.Errorf("%d want more of it", more)
	}
	r.publishNewEpoch(to("g"))
	r.scan(3)
	if diff := cmp.Diff([]string{"ack 7-101 true", "7-102", "7-103", "7-104", "8-105"}, p.received()); diff != "" {
		t.Error(diff)
	}
}

// What was queued before the log was set back is sent, and is no progress in the new
// history.
func TestProgressOverSetBack(t *testing.T) {
	var reports []Report
	r := newLogRig(Config{Report: func(rep Report) { reports = append(reports, rep) }})
	p := r.connect("g")
	r.settle()
	p.room = 0
	for range 6 {
		r.publish(to("g"))
	}
	r.settle()
	r.goBack(102)
	p.give(unlimited)
	r.settle()
	r.publishNewEpoch(to("g"))
	r.wait(2 * reportEvery)
	var got []tracker.Progress
	for _, rep := range reports {
		for _, progress := range rep.Progress {
			if rep.Epoch != 8 {
				t.Errorf("%+v is of epoch %d", progress, rep.Epoch)
			}
			got = append(got, progress)
		}
	}
	if diff := cmp.Diff([]tracker.Progress{{GatewayID: "g", From: 102, To: 103}}, got); diff != "" {
		t.Error(diff)
	}
}

// Barriers after the position that the log was set back to hide no new event.
func TestBarrierOverSetBack(t *testing.T) {
	r := newLogRig(Config{})
	for range 6 {
		r.publish(to("other"))
	}
	r.settle()
	p := &pipe{room: unlimited, live: new(atomic.Int32)}
	registration := p.registration("g")
	registration.Peer.Barrier = Barrier{Own: 106, All: 106}
	r.post(command{register: registration})
	r.settle()
	r.goBack(103)
	r.publishNewEpoch(to("g"))
	if diff := cmp.Diff([]string{"ack 7-106 false", "resync ahead_of_log 7-103", "8-104"}, p.received()); diff != "" {
		t.Error(diff)
	}
}
