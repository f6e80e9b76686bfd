// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// states tells what became of events 1 to n at a gateway, a letter each.
func states(b *Book, gateway string, n uint64) string {
	var s strings.Builder
	for seq := uint64(1); seq <= n; seq++ {
		s.WriteByte("pdaf"[b.Of(gateway, seq)])
	}
	return s.String()
}

func TestBook(t *testing.T) {
	got := func(from, to uint64) Facts { return Facts{Progress: []Progress{{"g", from, to}}} }
	answers := func(failed bool, seqs ...uint64) (f Facts) {
		for _, seq := range seqs {
			f.Answers = append(f.Answers, Answer{"g", seq, failed})
		}
		return f
	}
	tests := []struct {
		name  string
		facts []Facts
		want  string // pending, delivered, acked, failed
	}{
		{"nothing", nil, "pppppppp"},
		{"a span", []Facts{got(2, 5)}, "ppdddppp"},
		{"from the start", []Facts{got(0, 2)}, "ddpppppp"},
		{"no span", []Facts{got(3, 3), got(5, 2)}, "pppppppp"},
		{"spans apart", []Facts{got(1, 2), got(5, 7)}, "pdpppddp"},
		{"spans that touch", []Facts{got(1, 3), got(3, 5)}, "pddddppp"},
		{"spans that touch, the later first", []Facts{got(3, 5), got(1, 3)}, "pddddppp"},
		{"a span in another", []Facts{got(1, 7), got(2, 4)}, "pddddddp"},
		{"a span around others", []Facts{got(2, 3), got(4, 5), got(1, 6)}, "pdddddpp"},
		{"a span between two", []Facts{got(0, 2), got(4, 6), got(2, 4)}, "ddddddpp"},
		{"a span over the ends of two", []Facts{got(0, 3), got(5, 8), got(2, 6)}, "dddddddd"},
		{"acked", []Facts{got(0, 8), answers(false, 3, 7)}, "ddadddad"},
		{"acked before it is known as delivered", []Facts{answers(false, 3), got(0, 4)}, "ddadpppp"},
		{"acked, and never known as delivered", []Facts{answers(false, 3)}, "ppappppp"},
		{"failed at one replica, then acked by another", []Facts{answers(true, 2), answers(false, 2, 3)}, "pfappppp"},
		{"acked by one replica, then failed at another", []Facts{answers(false, 2, 3), answers(true, 2)}, "pfappppp"},
		{"an answer to no event", []Facts{answers(true, 0)}, "pppppppp"},
		{"a floor", []Facts{got(0, 5), answers(false, 2, 4), answers(true, 1, 3), {Floor: 2}}, "ppfadppp"},
		{"a floor first", []Facts{{Floor: 2}, answers(true, 1, 3), answers(false, 2, 4), got(0, 5)}, "ppfadppp"},
		{"a lower floor", []Facts{{Floor: 3}, {Floor: 1}, got(0, 5)}, "pppddppp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBook(100)
			for _, f := range tt.facts {
				b.Apply(f)
			}
			if s := states(b, "g", 8); s != tt.want {
				t.Errorf("%s, want %s", s, tt.want)
			}
			if s := states(b, "other", 8); s != "pppppppp" {
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
			b := NewBook(100)
			b.Apply(Facts{Progress: []Progress{{"g", 0, 6}}, Answers: []Answer{{"g", 2, false}, {"g", 4, true}}})
			b.Trim(tt.first)
			b.Trim(1) // takes nothing back
			if s := states(b, "g", 8); s != tt.want || b.Floor() != tt.floor {
				t.Errorf("%s above %d, want %s above %d", s, b.Floor(), tt.want, tt.floor)
			}
		})
	}
}

func TestTrimForgetsGateways(t *testing.T) {
	b := NewBook(100)
	b.Apply(Facts{Progress: []Progress{{"gone", 0, 6}, {"here", 0, 7}}, Answers: []Answer{{"silent", 3, true}}})
	b.Trim(7)
	if _, ok := b.tracks["here"]; !ok || len(b.tracks) != 1 {
		t.Errorf("%d gateways are known, want the one with something", len(b.tracks))
	}
}

func TestBookIsBounded(t *testing.T) {
	tests := []struct {
		name string
		fact func(i uint64) Facts // about a time at event i
	}{
		{"answers of one gateway", func(i uint64) Facts { return Facts{Answers: []Answer{{"g", i, i%3 == 0}}} }},
		{"answers of many", func(i uint64) Facts { return Facts{Answers: []Answer{{fmt.Sprint(i), i, false}}} }},
		{"spans of a gateway that misses every other event", func(i uint64) Facts { return Facts{Progress: []Progress{{"g", 2 * i, 2*i + 1}}} }},
		{"spans of many", func(i uint64) Facts { return Facts{Progress: []Progress{{fmt.Sprint(i), i - 1, i}}} }},
		{"old answers", func(i uint64) Facts { return Facts{Answers: []Answer{{"g", 2000 - i, false}}} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const limit = 100
			b := NewBook(limit)
			for i := uint64(1); i <= 1000; i++ {
				b.Apply(tt.fact(i))
				if b.size > limit || b.size != count(b) {
					t.Fatalf("the book has %d, and counts %d", count(b), b.size)
				}
			}
			if b.Floor() == 0 || b.Floor() >= b.newest || b.size < limit/4 {
				t.Errorf("the floor is %d of %d, and %d are held", b.Floor(), b.newest, b.size)
			}
		})
	}
}

func count(b *Book) (n int) {
	for _, t := range b.tracks {
		n += t.size()
	}
	return n
}

// A model is a Book that keeps every event of every gateway by itself.
type model map[string]map[uint64]State

func (m model) apply(f Facts) {
	set := func(gateway string, seq uint64, s State) {
		if m[gateway] == nil {
			m[gateway] = make(map[uint64]State)
		}
		m[gateway][seq] = max(m[gateway][seq], s)
	}
	for _, p := range f.Progress {
		for seq := p.From + 1; seq <= p.To; seq++ {
			set(p.GatewayID, seq, Delivered)
		}
	}
	for _, a := range f.Answers {
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

// check compares what a book knows with what a model says.
func (m model) check(t *rapid.T, b *Book) {
	t.Helper()
	for _, gateway := range modelGateways {
		for seq := uint64(0); seq <= modelEvents+1; seq++ {
			want := m[gateway][seq]
			if seq <= b.Floor() {
				want = Pending
			}
			if got := b.Of(gateway, seq); got != want {
				t.Fatalf("event %d at %s: state %d, want %d (the floor is %d)", seq, gateway, got, want, b.Floor())
			}
		}
	}
	if b.size != count(b) {
		t.Fatalf("the book has %d, and counts %d", count(b), b.size)
	}
	for gateway, track := range b.tracks {
		if !track.inOrder(b.floor) {
			t.Fatalf("what is known of %s is out of order above %d: %+v", gateway, b.floor, track)
		}
	}
}

// inOrder reports whether the spans are apart, and nothing is at the floor or
// below.
func (t *track) inOrder(floor uint64) bool {
	end := floor
	for i, s := range t.spans {
		if s.from < end || i > 0 && s.from == end || s.to <= s.from {
			return false
		}
		end = s.to
	}
	above := func(seq uint64) bool { return seq > floor }
	return slices.IsSorted(t.acked) && slices.IsSorted(t.failed) && t.size() > 0 &&
		!slices.ContainsFunc(t.acked, func(seq uint64) bool { return !above(seq) }) &&
		!slices.ContainsFunc(t.failed, func(seq uint64) bool { return !above(seq) })
}

func drawFacts(t *rapid.T) Facts {
	gateway := rapid.SampledFrom(modelGateways)
	seq := rapid.Uint64Range(0, modelEvents)
	return Facts{
		Progress: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Progress {
			from := seq.Draw(t, "from")
			return Progress{gateway.Draw(t, "gateway"), from, from + rapid.Uint64Range(0, modelEvents-from).Draw(t, "more")}
		}), 0, 3).Draw(t, "progress"),
		Answers: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Answer {
			return Answer{gateway.Draw(t, "gateway"), 1 + rapid.Uint64Range(0, modelEvents-1).Draw(t, "seq"), rapid.Bool().Draw(t, "failed")}
		}), 0, 3).Draw(t, "answers"),
	}
}

// Facts told late, twice and in any order, with events leaving the log
// meanwhile, make the same book; and so does a snapshot of it, however cut.
func TestBookOfAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(rapid.Custom(drawFacts), 0, 25).Draw(t, "facts")
		m := make(model)
		for _, f := range facts {
			m.apply(f)
		}
		b := NewBook(modelLimit)
		for _, f := range rapid.Permutation(append(facts, facts...)).Draw(t, "order") {
			b.Apply(f)
			if rapid.IntRange(0, 9).Draw(t, "trim") == 0 {
				b.Trim(rapid.Uint64Range(0, modelEvents).Draw(t, "first"))
			}
		}
		m.check(t, b)

		var parts []Facts
		for f := range b.Snapshot {
			for part := range f.Parts(rapid.IntRange(0, 300).Draw(t, "size")) {
				read, err := ParseFacts(part.AppendTo(nil))
				if err != nil {
					t.Fatal(err)
				}
				parts = append(parts, read)
			}
		}
		again := NewBook(modelLimit)
		for _, f := range rapid.Permutation(parts).Draw(t, "order of the snapshot") {
			again.Apply(f)
		}
		if again.Floor() != b.Floor() {
			t.Fatalf("the floor is %d, and %d after a snapshot", b.Floor(), again.Floor())
		}
		m.check(t, again)
	})
}

// At its bound a book forgets, and says how much; what it still knows is right.
func TestBookAtItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 8
		m, b := make(model), NewBook(limit)
		floor := uint64(0)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			f := drawFacts(t)
			m.apply(f)
			b.Apply(f)
			if b.size > limit || b.Floor() < floor {
				t.Fatalf("the book holds %d above %d, which was %d", b.size, b.Floor(), floor)
			}
			floor = b.Floor()
			m.check(t, b)
		}
	})
}

func TestSnapshotIsInPieces(t *testing.T) {
	b := NewBook(1 << 20)
	const answers = 20_000
	want := Facts{Progress: []Progress{{"busy", 0, answers}}}
	for seq := uint64(1); seq <= answers; seq++ {
		want.Answers = append(want.Answers, Answer{"busy", seq, seq%2 == 0})
	}
	for i := range 2*snapshotGateways + 1 {
		want.Progress = append(want.Progress, Progress{fmt.Sprintf("idle-%d", i), 7, 9})
	}
	b.Apply(want)
	again, pieces := NewBook(1<<20), 0
	for f := range b.Snapshot {
		pieces++
		if n := len(f.AppendTo(nil)); n > snapshotBytes {
			t.Errorf("a piece has %d bytes", n)
		}
		again.Apply(f)
	}
	if pieces < 3 || again.size != b.size || again.Of("busy", answers) != Failed || again.Of("idle-1000", 9) != Delivered {
		t.Errorf("%d pieces make a book of %d, want %d", pieces, again.size, b.size)
	}
	pieces = 0
	b.Trim(3)
	for range b.Snapshot {
		if pieces++; pieces == 2 {
			break
		}
	}
	if pieces != 2 {
		t.Errorf("the snapshot goes on for %d pieces after it was ended", pieces)
	}
}

// The race detector looks on.
func TestBookOfManyGoroutines(t *testing.T) {
	b := NewBook(500)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(g)))
			for i := range uint64(500) {
				gateway := modelGateways[random.IntN(len(modelGateways))]
				b.Apply(Facts{Progress: []Progress{{gateway, i, i + 2}}, Answers: []Answer{{gateway, i, i%5 == 0}}})
				b.Of(gateway, i)
				if i%50 == 0 {
					b.Trim(i / 2)
					b.Snapshot(func(f Facts) bool { return len(f.Progress) < 2 })
				}
				if b.Floor() > 502 {
					t.Error("the floor is above everything")
				}
			}
		})
	}
	wg.Wait()
}

// What shards report in a second in which each of 5,000 gateways got something.
func BenchmarkApply(b *testing.B) {
	facts := Facts{Progress: make([]Progress, 5000)}
	for i := range facts.Progress {
		facts.Progress[i].GatewayID = fmt.Sprintf("gateway-%d", i)
	}
	book := NewBook(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		for i := range facts.Progress {
			p := &facts.Progress[i]
			p.From, p.To = p.To, p.To+10
		}
		book.Apply(facts)
	}
}

// What became of one event for all of 100,000 gateways.
func BenchmarkOf(b *testing.B) {
	book := NewBook(1 << 20)
	gateways := make([]string, 100_000)
	for i := range gateways {
		gateways[i] = fmt.Sprintf("gateway-%d", i)
		book.Apply(Facts{
			Progress: []Progress{{gateways[i], 0, 1000}},
			Answers:  []Answer{{gateways[i], 999, false}, {gateways[i], 1000, i%100 == 0}},
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		var states [4]int
		for _, gateway := range gateways {
			states[book.Of(gateway, 1000)]++
		}
		if states[Failed] != len(gateways)/100 {
			b.Fatal(states)
		}
	}
}
