// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tracker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// statuses returns the status of events 1 to n at a gateway, a letter each.
func statuses(b *Tracker, gateway string, n uint64) string {
	var s strings.Builder
	for seq := uint64(1); seq <= n; seq++ {
		s.WriteByte("pdaf"[b.Status(gateway, seq)])
	}
	return s.String()
}

func TestStatus(t *testing.T) {
	got := func(from, to uint64) Updates { return Updates{Progress: []Progress{{"g", from, to}}} }
	acks := func(failed bool, seqs ...uint64) (f Updates) {
		for _, seq := range seqs {
			f.Acks = append(f.Acks, Ack{"g", seq, failed})
		}
		return f
	}
	tests := []struct {
		name    string
		updates []Updates
		want    string // pending, delivered, acked, failed
	}{
		{"nothing", nil, "pppppppp"},
		{"a span", []Updates{got(2, 5)}, "ppdddppp"},
		{"from the start", []Updates{got(0, 2)}, "ddpppppp"},
		{"no span", []Updates{got(3, 3), got(5, 2)}, "pppppppp"},
		{"spans apart", []Updates{got(1, 2), got(5, 7)}, "pdpppddp"},
		{"spans that touch", []Updates{got(1, 3), got(3, 5)}, "pddddppp"},
		{"spans that touch, the later first", []Updates{got(3, 5), got(1, 3)}, "pddddppp"},
		{"a span in another", []Updates{got(1, 7), got(2, 4)}, "pddddddp"},
		{"a span around others", []Updates{got(2, 3), got(4, 5), got(1, 6)}, "pdddddpp"},
		{"a span between two", []Updates{got(0, 2), got(4, 6), got(2, 4)}, "ddddddpp"},
		{"a span over the ends of two", []Updates{got(0, 3), got(5, 8), got(2, 6)}, "dddddddd"},
		{"acked", []Updates{got(0, 8), acks(false, 3, 7)}, "ddadddad"},
		{"acked before it is known as delivered", []Updates{acks(false, 3), got(0, 4)}, "ddadpppp"},
		{"acked, and never known as delivered", []Updates{acks(false, 3)}, "ppappppp"},
		{"failed at one replica, then acked by another", []Updates{acks(true, 2), acks(false, 2, 3)}, "pfappppp"},
		{"acked by one replica, then failed at another", []Updates{acks(false, 2, 3), acks(true, 2)}, "pfappppp"},
		{"an ack of sequence 0", []Updates{acks(true, 0)}, "pppppppp"},
		{"a floor", []Updates{got(0, 5), acks(false, 2, 4), acks(true, 1, 3), {Floor: 2}}, "ppfadppp"},
		{"a floor first", []Updates{{Floor: 2}, acks(true, 1, 3), acks(false, 2, 4), got(0, 5)}, "ppfadppp"},
		{"a lower floor", []Updates{{Floor: 3}, {Floor: 1}, got(0, 5)}, "pppddppp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := New(100)
			for _, f := range tt.updates {
				b.Apply(f)
			}
			if s := statuses(b, "g", 8); s != tt.want {
				t.Errorf("%s, want %s", s, tt.want)
			}
			if s := statuses(b, "other", 8); s != "pppppppp" {
				t.Errorf("another gateway: %s", s)
			}
		})
	}
}

func TestTrim(t *testing.T) {
	tests := []struct {
		name  string
		first uint64 // that the log retains
		floor uint64
		want  string
	}{
		{"an empty log that never had any", 0, 0, "dadfddpp"},
		{"nothing is gone", 1, 0, "dadfddpp"},
		{"some are gone", 3, 2, "ppdfddpp"},
		{"all but the newest", 6, 5, "pppppdpp"},
		{"all", 7, 6, "pppppppp"},
		{"more than is known", 100, 99, "pppppppp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := New(100)
			b.Apply(Updates{Progress: []Progress{{"g", 0, 6}}, Acks: []Ack{{"g", 2, false}, {"g", 4, true}}})
			b.Trim(tt.first)
			b.Trim(1) // lowers nothing
			if s := statuses(b, "g", 8); s != tt.want || b.Floor() != tt.floor {
				t.Errorf("%s above %d, want %s above %d", s, b.Floor(), tt.want, tt.floor)
			}
		})
	}
}

func TestTrimForgetsGateways(t *testing.T) {
	b := New(100)
	b.Apply(Updates{Progress: []Progress{{"gone", 0, 6}, {"here", 0, 7}}, Acks: []Ack{{"silent", 3, true}}})
	b.Trim(7)
	if _, ok := b.gateways["here"]; !ok || len(b.gateways) != 1 {
		t.Errorf("%d gateways are known, want the one with something", len(b.gateways))
	}
}

func TestSizeIsBounded(t *testing.T) {
	tests := []struct {
		name   string
		update func(i uint64) Updates // about a time at event i
	}{
		{"acks of one gateway", func(i uint64) Updates { return Updates{Acks: []Ack{{"g", i, i%3 == 0}}} }},
		{"acks of many", func(i uint64) Updates { return Updates{Acks: []Ack{{fmt.Sprint(i), i, false}}} }},
		{"spans of a gateway that misses every other event", func(i uint64) Updates { return Updates{Progress: []Progress{{"g", 2 * i, 2*i + 1}}} }},
		{"spans of many", func(i uint64) Updates { return Updates{Progress: []Progress{{fmt.Sprint(i), i - 1, i}}} }},
		{"old acks", func(i uint64) Updates { return Updates{Acks: []Ack{{"g", 2000 - i, false}}} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const limit = 100
			b := New(limit)
			for i := uint64(1); i <= 1000; i++ {
				b.Apply(tt.update(i))
				if b.size > limit || b.size != count(b) {
					t.Fatalf("%d are stored, and size is %d", count(b), b.size)
				}
			}
			if b.Floor() == 0 || b.Floor() >= b.newest || b.size < limit/4 {
				t.Errorf("the floor is %d of %d, and %d are held", b.Floor(), b.newest, b.size)
			}
		})
	}
}

func count(b *Tracker) (n int) {
	for _, g := range b.gateways {
		n += g.size()
	}
	return n
}

// A model is a Tracker that stores a status per event and gateway.
type model map[string]map[uint64]Status

func (m model) apply(f Updates) {
	set := func(gateway string, seq uint64, s Status) {
		if m[gateway] == nil {
			m[gateway] = make(map[uint64]Status)
		}
		m[gateway][seq] = max(m[gateway][seq], s)
	}
	for _, p := range f.Progress {
		for seq := p.From + 1; seq <= p.To; seq++ {
			set(p.GatewayID, seq, Delivered)
		}
	}
	for _, a := range f.Acks {
		s := Acked
		if a.Failed {
			s = Failed
		}
		set(a.GatewayID, a.Seq, s)
	}
}

const (
	modelEvents = 60
	modelLimit  = 1000
)

var modelGateways = []string{"a", "b", "c"}

// check compares a Tracker with the model.
func (m model) check(t *rapid.T, b *Tracker) {
	t.Helper()
	for _, gateway := range modelGateways {
		for seq := uint64(0); seq <= modelEvents+1; seq++ {
			want := m[gateway][seq]
			if seq <= b.Floor() {
				want = Pending
			}
			if got := b.Status(gateway, seq); got != want {
				t.Fatalf("event %d at %s: status %d, want %d (the floor is %d)", seq, gateway, got, want, b.Floor())
			}
		}
	}
	if b.size != count(b) {
		t.Fatalf("%d are stored, and size is %d", count(b), b.size)
	}
	for id, g := range b.gateways {
		if !g.inOrder(b.floor) {
			t.Fatalf("the state of %s is out of order above %d: %+v", id, b.floor, g)
		}
	}
}

// inOrder reports whether the spans are apart, and nothing is at the floor or
// below.
func (g *gateway) inOrder(floor uint64) bool {
	end := floor
	for i, s := range g.spans {
		if s.from < end || i > 0 && s.from == end || s.to <= s.from {
			return false
		}
		end = s.to
	}
	above := func(seq uint64) bool { return seq > floor }
	return slices.IsSorted(g.acked) && slices.IsSorted(g.failed) && g.size() > 0 &&
		!slices.ContainsFunc(g.acked, func(seq uint64) bool { return !above(seq) }) &&
		!slices.ContainsFunc(g.failed, func(seq uint64) bool { return !above(seq) })
}

func drawUpdates(t *rapid.T) Updates {
	gateway := rapid.SampledFrom(modelGateways)
	seq := rapid.Uint64Range(0, modelEvents)
	return Updates{
		Progress: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Progress {
			from := seq.Draw(t, "from")
			return Progress{gateway.Draw(t, "gateway"), from, from + rapid.Uint64Range(0, modelEvents-from).Draw(t, "more")}
		}), 0, 3).Draw(t, "progress"),
		Acks: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Ack {
			return Ack{gateway.Draw(t, "gateway"), 1 + rapid.Uint64Range(0, modelEvents-1).Draw(t, "seq"), rapid.Bool().Draw(t, "failed")}
		}), 0, 3).Draw(t, "acks"),
	}
}

// Updates that arrive late, twice and in any order, while events leave the log, produce
// the same Tracker. So does a snapshot of it, whatever its parts.
func TestUpdatesCommute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		updates := rapid.SliceOfN(rapid.Custom(drawUpdates), 0, 25).Draw(t, "updates")
		m := make(model)
		for _, f := range updates {
			m.apply(f)
		}
		b := New(modelLimit)
		for _, f := range rapid.Permutation(append(updates, updates...)).Draw(t, "order") {
			b.Apply(f)
			if rapid.IntRange(0, 9).Draw(t, "trim") == 0 {
				b.Trim(rapid.Uint64Range(0, modelEvents).Draw(t, "first"))
			}
		}
		m.check(t, b)

		var parts []Updates
		for f := range b.Snapshot {
			for part := range f.Parts(rapid.IntRange(0, 300).Draw(t, "size")) {
				read, err := Parse(part.AppendTo(nil))
				if err != nil {
					t.Fatal(err)
				}
				parts = append(parts, read)
			}
		}
		again := New(modelLimit)
		for _, f := range rapid.Permutation(parts).Draw(t, "order of the snapshot") {
			again.Apply(f)
		}
		if again.Floor() != b.Floor() {
			t.Fatalf("the floor is %d, and %d after a snapshot", b.Floor(), again.Floor())
		}
		m.check(t, again)
	})
}

// At its limit a Tracker forgets events and raises its floor; what is above is right.
func TestStatusIsRightAtTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 8
		m, b := make(model), New(limit)
		floor := uint64(0)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			f := drawUpdates(t)
			m.apply(f)
			b.Apply(f)
			if b.size > limit || b.Floor() < floor {
				t.Fatalf("%d are stored above floor %d, which was %d", b.size, b.Floor(), floor)
			}
			floor = b.Floor()
			m.check(t, b)
		}
	})
}

func TestSnapshotIsInParts(t *testing.T) {
	b := New(1 << 20)
	const acks = 20_000
	want := Updates{Progress: []Progress{{"busy", 0, acks}}}
	for seq := uint64(1); seq <= acks; seq++ {
		want.Acks = append(want.Acks, Ack{"busy", seq, seq%2 == 0})
	}
	for i := range 2*snapshotGateways + 1 {
		want.Progress = append(want.Progress, Progress{fmt.Sprintf("idle-%d", i), 7, 9})
	}
	b.Apply(want)
	again, parts := New(1<<20), 0
	for f := range b.Snapshot {
		parts++
		if n := len(f.AppendTo(nil)); n > snapshotBytes {
			t.Errorf("a part has %d bytes", n)
		}
		again.Apply(f)
	}
	if parts < 3 || again.size != b.size || again.Status("busy", acks) != Failed || again.Status("idle-1000", 9) != Delivered {
		t.Errorf("%d parts produce size %d, want %d", parts, again.size, b.size)
	}
	parts = 0
	b.Trim(3)
	for range b.Snapshot {
		if parts++; parts == 2 {
			break
		}
	}
	if parts != 2 {
		t.Errorf("the snapshot yields %d parts after its consumer stopped", parts)
	}
}

// For the race detector.
func TestConcurrentUse(t *testing.T) {
	b := New(500)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(g)))
			for i := range uint64(500) {
				gateway := modelGateways[random.IntN(len(modelGateways))]
				b.Apply(Updates{Progress: []Progress{{gateway, i, i + 2}}, Acks: []Ack{{gateway, i, i%5 == 0}}})
				b.Status(gateway, i)
				if i%50 == 0 {
					b.Trim(i / 2)
					b.Snapshot(func(f Updates) bool { return len(f.Progress) < 2 })
				}
				if b.Floor() > 502 {
					t.Error("the floor is above everything")
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkApply applies what shards report in a second in which each of 5,000 gateways
// receives something.
func BenchmarkApply(b *testing.B) {
	updates := Updates{Progress: make([]Progress, 5000)}
	for i := range updates.Progress {
		updates.Progress[i].GatewayID = fmt.Sprintf("gateway-%d", i)
	}
	tracker := New(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		for i := range updates.Progress {
			p := &updates.Progress[i]
			p.From, p.To = p.To, p.To+10
		}
		tracker.Apply(updates)
	}
}

// BenchmarkStatus asks for the status of one event at 100,000 gateways.
func BenchmarkStatus(b *testing.B) {
	tracker := New(1 << 20)
	gateways := make([]string, 100_000)
	for i := range gateways {
		gateways[i] = fmt.Sprintf("gateway-%d", i)
		tracker.Apply(Updates{
			Progress: []Progress{{gateways[i], 0, 1000}},
			Acks:     []Ack{{gateways[i], 999, false}, {gateways[i], 1000, i%100 == 0}},
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		var statuses [4]int
		for _, gateway := range gateways {
			statuses[tracker.Status(gateway, 1000)]++
		}
		if statuses[Failed] != len(gateways)/100 {
			b.Fatal(statuses)
		}
	}
}
