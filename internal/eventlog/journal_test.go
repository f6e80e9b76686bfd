// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatecast/gatecast/test/testenv"
)

// journals is a Log, or a testLog.
type journals interface {
	Journal(context.Context, JournalConfig) (*Journal, error)
}

func openJournal(t *testing.T, l journals, cfg JournalConfig) *Journal {
	t.Helper()
	cfg.Name = "things"
	j, err := l.Journal(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// note appends records with names.
func note(t *testing.T, j *Journal, names ...string) (last uint64) {
	t.Helper()
	var records []Record
	for _, name := range names {
		records = append(records, Record{Name: name, Data: []byte("of " + name)})
	}
	last, err := j.Append(t.Context(), records...)
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// namesOf returns the names of the records that a query selects.
func namesOf(t *testing.T, j *Journal, q JournalQuery) (list []string) {
	t.Helper()
	records, err := j.Read(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		list = append(list, r.Name)
	}
	return list
}

func TestJournal(t *testing.T) {
	for _, memory := range []bool{false, true} {
		t.Run(fmt.Sprintf("memory=%v", memory), func(t *testing.T) {
			j := openJournal(t, open(t, config{InMemory: memory}), JournalConfig{})
			if first, last, err := j.Bounds(t.Context()); first != 1 || last != 0 || err != nil {
				t.Errorf("bounds of nothing: %d to %d, %v", first, last, err)
			}
			if last := note(t, j, "a", "b", "a", "host.example"); last != 4 {
				t.Errorf("the last sequence is %d", last)
			}
			note(t, j) // nothing
			for _, c := range []struct {
				name string
				q    JournalQuery
				want []string
			}{
				{"all", JournalQuery{Limit: 10}, []string{"a", "b", "a", "host_example"}},
				{"a page", JournalQuery{Limit: 2}, []string{"a", "b"}},
				{"after", JournalQuery{After: 2, Limit: 10}, []string{"a", "host_example"}},
				{"of one", JournalQuery{Name: "a", Limit: 10}, []string{"a", "a"}},
				{"after all", JournalQuery{After: 4, Limit: 10}, nil},
				{"until then", JournalQuery{To: time.Now().Add(-time.Hour), Limit: 10}, nil},
				{"since then", JournalQuery{From: time.Now().Add(time.Hour), Limit: 10}, nil},
				{"around now", JournalQuery{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Limit: 10}, []string{"a", "b", "a", "host_example"}},
			} {
				if got := namesOf(t, j, c.q); !cmp.Equal(got, c.want) {
					t.Errorf("%s: %v, want %v", c.name, got, c.want)
				}
			}
			records, err := j.Read(t.Context(), JournalQuery{Limit: 1})
			if err != nil || string(records[0].Data) != "of a" || records[0].Seq != 1 || time.Since(records[0].At) > time.Minute {
				t.Errorf("%+v, %v", records, err)
			}
			if err := j.Purge(t.Context(), "a", 3); err != nil {
				t.Fatal(err)
			}
			if got := namesOf(t, j, JournalQuery{Limit: 10}); !cmp.Equal(got, []string{"b", "a", "host_example"}) {
				t.Errorf("after a purge of a below 3: %v", got)
			}
		})
	}
}

// Many records are in flight at once, and stay in order.
func TestJournalInOrder(t *testing.T) {
	j := openJournal(t, open(t, config{}), JournalConfig{})
	var records []Record
	for i := range 3 * appendBatch {
		records = append(records, Record{Name: "a", Data: fmt.Append(nil, i)})
	}
	if last, err := j.Append(t.Context(), records...); last != uint64(len(records)) || err != nil {
		t.Fatal(last, err)
	}
	got, err := j.Read(t.Context(), JournalQuery{Limit: len(records)})
	if err != nil || len(got) != len(records) {
		t.Fatal(len(got), err)
	}
	for i, r := range got {
		if string(r.Data) != fmt.Sprint(i) || r.Seq != uint64(i)+1 {
			t.Fatalf("record %d is %s at %d", i, r.Data, r.Seq)
		}
	}
}

func TestJournalKeepsItsBounds(t *testing.T) {
	j := openJournal(t, open(t, config{}), JournalConfig{Bytes: 64 << 10})
	records := slices.Repeat([]Record{{Name: "a", Data: make([]byte, 1000)}}, 200)
	if _, err := j.Append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	first, last, err := j.Bounds(t.Context())
	if err != nil || last != 200 || first < 100 {
		t.Errorf("%d to %d, %v", first, last, err)
	}
}

func TestJournalSurvives(t *testing.T) {
	dir := t.TempDir()
	l := open(t, config{Dir: dir})
	j := openJournal(t, l, JournalConfig{})
	note(t, j, "a", "b")
	at := j.lineage().CursorOf(2)
	closeLog(t, l)
	j = openJournal(t, open(t, config{Dir: dir}), JournalConfig{})
	if got := namesOf(t, j, JournalQuery{Limit: 10}); !cmp.Equal(got, []string{"a", "b"}) {
		t.Errorf("%v", got)
	}
	if seq, ok, err := j.Resolve(t.Context(), at); seq != 2 || !ok || err != nil {
		t.Errorf("%v is at %d, %v, %v", at, seq, ok, err)
	}
	if last := note(t, j, "c"); last != 4 { // a marker stands before it
		t.Errorf("goes on at %d", last)
	}
}

func TestJournalAwait(t *testing.T) {
	l := open(t, config{})
	j := openJournal(t, l, JournalConfig{})
	note(t, j, "a")
	if err := j.Await(t.Context(), 0); err != nil { // it is there
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := j.Await(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing came: %v", err)
	}
	came := make(chan error, 1)
	go func() { came <- j.Await(t.Context(), 1) }()
	note(t, j, "b")
	if err := <-came; err != nil {
		t.Error(err)
	}
}

func TestJournalFollow(t *testing.T) {
	l := open(t, config{})
	j := openJournal(t, l, JournalConfig{})
	note(t, j, "a", "b", "c")
	got := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var err error
	wg.Go(func() {
		err = j.Follow(ctx, 1, func() { got <- "synced" }, func(r Record) { got <- r.Name })
	})
	expect := func(want ...string) {
		t.Helper()
		for _, w := range want {
			if name := <-got; name != w {
				t.Fatalf("got %s, want %s", name, w)
			}
		}
	}
	expect("b", "c", "synced")
	note(t, j, "d")
	expect("d")
	cancel()
	wg.Wait()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	wg.Go(func() { err = j.Follow(t.Context(), 4, func() { got <- "synced" }, func(Record) {}) })
	expect("synced") // of nothing
	closeLog(t, l)
	wg.Wait()
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("of a log that closes: %v", err)
	}
}

func seqsOf(records []Record) (seqs []uint64) {
	for _, r := range records {
		seqs = append(seqs, r.Seq)
	}
	return seqs
}

func TestJournalPurge(t *testing.T) {
	for _, c := range []struct {
		name   string
		before uint64
		want   []uint64
	}{
		{"nothing", 0, []uint64{1, 2, 3, 4}},
		{"up to the first", 1, []uint64{1, 2, 3, 4}},
		{"some", 3, []uint64{2, 3, 4}},
		{"all of the name", 9, []uint64{2, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := openJournal(t, open(t, config{InMemory: true}), JournalConfig{})
			note(t, j, "a", "b", "a", "b")
			if err := j.Purge(t.Context(), "a", c.before); err != nil {
				t.Fatal(err)
			}
			records, err := j.Read(t.Context(), JournalQuery{Limit: 9})
			if diff := cmp.Diff(c.want, seqsOf(records)); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

// Records that are never answered do not block others for ever.
func TestJournalUnanswered(t *testing.T) {
	t.Parallel() // mostly waits
	l := open(t, config{InMemory: true})
	j := openJournal(t, l, JournalConfig{})
	if err := l.js.DeleteStream(t.Context(), j.name); err != nil {
		t.Fatal(err)
	}
	silent, err := l.conn.SubscribeSync(j.prefix + "*")
	if err != nil {
		t.Fatal(err)
	}
	many := make([]Record, appendBatch)
	for i := range many {
		many[i].Name = "a"
	}
	for range 4 { // together more than the client allows in flight
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := j.Append(ctx, many...)
		cancel()
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("error %v", err)
		}
	}
	if err := silent.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, l, JournalConfig{})
	testenv.Eventually(t, "records are taken again", func() bool {
		_, err := j.Append(t.Context(), Record{Name: "a"})
		return err == nil
	})
}

// Follow calls synced once, also when records were purged.
func TestJournalFollowAfterPurge(t *testing.T) {
	for _, c := range []struct {
		name  string
		names []string
		purge string
		after uint64
		want  int // before synced
	}{
		{"empty", nil, "x", 0, 0},
		{"all", []string{"a", "b", "c"}, "x", 0, 3},
		{"the rest", []string{"a", "b", "c"}, "x", 2, 1},
		{"at the end", []string{"a"}, "x", 1, 0},
		{"the newest purged", []string{"a", "b"}, "b", 0, 1},
		{"everything purged", []string{"b", "b"}, "b", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := openJournal(t, open(t, config{InMemory: true}), JournalConfig{})
			if len(c.names) > 0 {
				note(t, j, c.names...)
			}
			if err := j.Purge(t.Context(), c.purge, 99); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			got, synced, live := 0, make(chan int, 2), make(chan Record, 9)
			ended := make(chan error)
			go func() {
				ended <- j.Follow(ctx, c.after, func() { synced <- got }, func(r Record) {
					got++
					if string(r.Data) == "live" {
						live <- r
					}
				})
			}()
			select {
			case n := <-synced:
				if n != c.want {
					t.Errorf("synced after %d records; want %d", n, c.want)
				}
			case <-ctx.Done():
				t.Error("it was never synced")
			}
			if _, err := j.Append(t.Context(), Record{Name: "a", Data: []byte("live")}); err != nil {
				t.Fatal(err)
			}
			select {
			case <-live:
			case <-ctx.Done():
				t.Error("a new record did not come")
			}
			cancel()
			<-ended
			if len(synced) != 0 {
				t.Error("it was synced twice")
			}
		})
	}
}

func TestJournalRetention(t *testing.T) {
	j := openJournal(t, open(t, config{}), JournalConfig{Retention: 100 * time.Millisecond})
	note(t, j, "a")
	testenv.Eventually(t, "the record is gone", func() bool {
		first, last, err := j.Bounds(t.Context())
		return first == 2 && last == 1 && err == nil
	})
}

// Records whose answer was lost are written again, and are stored once.
func TestJournalAppendAgain(t *testing.T) {
	j := openJournal(t, open(t, config{}), JournalConfig{})
	records := []Record{{Name: "a", Data: []byte("1")}, {Name: "b", Data: []byte("2")}, {Name: "a", Data: []byte("1")}}
	first, err := j.Append(t.Context(), records[:2]...)
	if err != nil || first != 2 {
		t.Fatal(first, err)
	}
	last, err := j.Append(t.Context(), records...) // the answers are nodes to be lost
	if err != nil || last != 3 {
		t.Fatal(last, err)
	}
	if again, err := j.Append(t.Context(), records...); err != nil || again != last {
		t.Fatal(again, err)
	}
	if got := namesOf(t, j, JournalQuery{Limit: 10}); !cmp.Equal(got, []string{"a", "b", "a"}) {
		t.Errorf("the journal has %v", got)
	}
	// Records of another process have other ids.
	other := openJournal(t, j.log, JournalConfig{})
	if _, err := other.Append(t.Context(), Record{Name: "c"}); err != nil {
		t.Fatal(err)
	}
	if got := namesOf(t, j, JournalQuery{Limit: 10}); !cmp.Equal(got, []string{"a", "b", "a", "c"}) {
		t.Errorf("the journal has %v", got)
	}
}

// Records that gatecast did not write are skipped by every reader, and counted once.
func TestForeignRecords(t *testing.T) {
	var counted atomic.Int64
	l := open(t, config{OnSkipped: func(s Source) {
		if s == SourceJournal {
			counted.Add(1)
		}
	}, Logger: slog.New(slog.DiscardHandler)})
	j := openJournal(t, l, JournalConfig{Valid: func(r Record) bool { return bytes.HasPrefix(r.Data, []byte("of ")) }})
	note(t, j, "a")
	for _, data := range []string{"", "{}", "\xff"} {
		if _, err := l.js.Publish(t.Context(), j.prefix+"a", []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	waited := make(chan error, 1)
	go func() { waited <- j.Await(t.Context(), 1) }()
	testenv.Eventually(t, "they are counted", func() bool { return counted.Load() == 3 })
	select {
	case err := <-waited:
		t.Fatalf("somebody who waits for a record was woken: %v", err)
	default:
	}
	note(t, j, "b")
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if got := namesOf(t, j, JournalQuery{Limit: 10}); !cmp.Equal(got, []string{"a", "b"}) {
		t.Errorf("read %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var names []string
	err := j.Follow(ctx, 0, func() { cancel() }, func(r Record) { names = append(names, r.Name) })
	if !errors.Is(err, context.Canceled) || !cmp.Equal(names, []string{"a", "b"}) {
		t.Errorf("followed %v, error %v", names, err)
	}
	if n := counted.Load(); n != 3 {
		t.Errorf("they were counted %d times", n)
	}
}

// A client that reads from position to position gets one gap for the records that have left the
// journal, and none for records of other names.
func TestJournalGaps(t *testing.T) {
	j := openJournal(t, open(t, config{}), JournalConfig{})
	read := func(after uint64, limit int) (got string, next uint64) {
		t.Helper()
		records, at, err := j.ReadOn(t.Context(), JournalQuery{After: after, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Missing > 0 {
				got += fmt.Sprintf("[%d up to %d]", r.Missing, r.Seq)
			} else {
				got += fmt.Sprintf("%s%d ", r.Name, r.Seq)
			}
			if r.Cursor.Seq != r.Seq {
				t.Errorf("record %d has the position %v", r.Seq, r.Cursor)
			}
		}
		return got, at.Seq
	}
	check := func(what string, after uint64, limit int, want string, wantNext uint64) {
		t.Helper()
		if got, next := read(after, limit); got != want || next != wantNext {
			t.Errorf("%s: %q, go on from %d, want %q from %d", what, got, next, want, wantNext)
		}
	}
	purge := func(name string, before uint64) {
		t.Helper()
		if err := j.Purge(t.Context(), name, before); err != nil {
			t.Fatal(err)
		}
	}
	note(t, j, "a", "b", "b", "a", "b", "c") // 1 to 6
	check("nothing is gone", 0, 10, "a1 b2 b3 a4 b5 c6 ", 6)
	purge("b", 5)
	check("within", 0, 10, "a1 [2 up to 3]a4 b5 c6 ", 6)
	check("at the position", 1, 10, "[2 up to 3]a4 b5 c6 ", 6)
	check("a part of it", 2, 10, "[1 up to 3]a4 b5 c6 ", 6)
	check("after it", 3, 10, "a4 b5 c6 ", 6)
	check("a gap counts as one", 0, 2, "a1 [2 up to 3]", 3)
	check("a gap alone", 1, 1, "[2 up to 3]", 3)
	purge("a", 100)
	check("at the beginning", 0, 10, "[4 up to 4]b5 c6 ", 6)
	check("more at the position", 3, 10, "[1 up to 4]b5 c6 ", 6)
	purge("b", 100)
	purge("c", 100)
	check("all", 0, 10, "[6 up to 6]", 6)
	check("all after the position", 4, 10, "[2 up to 6]", 6)
	check("nothing after the position", 6, 10, "", 6)
	note(t, j, "d")
	check("before a new one", 4, 10, "[2 up to 6]d7 ", 7)
	check("none before a new one", 6, 10, "d7 ", 7)
}

// Markers and skipped records are not gaps, and a reader can continue from them.
func TestJournalGapsAreRecords(t *testing.T) {
	dir := t.TempDir()
	l := open(t, config{Dir: dir})
	cfg := JournalConfig{Valid: func(r Record) bool { return r.Name != "junk" }}
	j := openJournal(t, l, cfg)
	note(t, j, "a", "junk", "junk", "b", "junk")
	closeLog(t, l)
	j = openJournal(t, open(t, config{Dir: dir}), cfg) // which begins an epoch
	marked := j.last.load()
	last := note(t, j, "c")
	for _, c := range []struct{ after, want uint64 }{{0, 3}, {1, 2}, {4, 1}, {last - 1, 1}} {
		records, next, err := j.ReadOn(t.Context(), JournalQuery{After: c.after, Limit: 10})
		if err != nil || uint64(len(records)) != c.want || next.Seq != last {
			t.Errorf("after %d there are %d records, next %v, %v", c.after, len(records), next, err)
		}
		for _, r := range records {
			if r.Missing > 0 {
				t.Errorf("after %d: %d are missing up to %d", c.after, r.Missing, r.Seq)
			}
		}
	}
	if marked != last-1 {
		t.Errorf("the marker is at %d, the record at %d", marked, last)
	}
}
