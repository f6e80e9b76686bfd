// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/test/testenv"
	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

func TestCluster(t *testing.T) {
	t.Parallel() // mostly waits
	r := natsenv.StartCluster(t)
	logs := openTogether(t, r)
	for _, part := range []struct { // each needs the cluster as the one before leaves it
		name string
		f    func(*testing.T)
	}{
		{"replicas", func(t *testing.T) { testReplicas(t, r, logs[0]) }},
		{"idempotency", func(t *testing.T) { testClusterIdempotency(t, logs) }},
		{"loss of a server", func(t *testing.T) { testLossOfServer(t, r, logs) }},
		{"loss of the quorum", func(t *testing.T) { testLossOfQuorum(t, r, logs[0]) }},
	} {
		if !t.Run(part.name, part.f) {
			break
		}
	}
}

// openTogether opens the log three times at once, each through another server.
func openTogether(t *testing.T, r natsenv.Cluster) []*testLog {
	t.Helper()
	logs, errs := make([]*testLog, 3), make([]error, 3)
	var all sync.WaitGroup
	for i, order := range [][]int{{0, 1, 2}, {1, 2, 0}, {2, 0, 1}} {
		all.Go(func() {
			logs[i], errs[i] = openLog(t.Context(), config{URL: r.URLs(order...), Node: fmt.Sprint(i), Logger: slog.New(slog.DiscardHandler)})
		})
	}
	all.Wait()
	for _, l := range logs {
		if l != nil {
			t.Cleanup(func() { closeLog(t, l) })
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	// A node that opens before the first one can answer begins an epoch. The others learn of it
	// at their next check.
	testenv.Eventually(t, "nodes that share a log have the same epoch", func() bool {
		return logs[0].Epoch() == logs[1].Epoch() && logs[1].Epoch() == logs[2].Epoch()
	})
	if logs[0].Epoch() == 0 {
		t.Error("the log has no epoch")
	}
	return logs
}

// Streams with three replicas keep them when a node starts that sees fewer servers.
func testReplicas(t *testing.T, r natsenv.Cluster, l *testLog) {
	if _, err := l.Bucket(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Journal(t.Context(), JournalConfig{Name: "kept"}); err != nil {
		t.Fatal(err)
	}
	one := open(t, config{URL: r.URLs(0), Replicas: 1})
	if _, err := one.Bucket(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Journal(t.Context(), JournalConfig{Name: "kept"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{streamName, "KV_kept", "gatecast_kept"} {
		s, err := l.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.CachedInfo().Config.Replicas; got != 3 {
			t.Errorf("%s has %d replicas; want 3", name, got)
		}
	}
}

// Appends with one idempotency key store one event, through any node and at the same time.
func testClusterIdempotency(t *testing.T, logs []*testLog) {
	const keys, each = 20, 4
	type result struct {
		key       int
		at        event.Cursor
		duplicate bool
		err       error
	}
	results := make(chan result, keys*each*len(logs))
	var all sync.WaitGroup
	for k := range keys {
		for _, l := range logs {
			for range each {
				all.Go(func() {
					ev, body := newEvent(k)
					ev.IdempotencyKey = fmt.Sprint("key ", k)
					p, err := l.AppendAsync(ev, body)
					if err != nil {
						results <- result{err: err}
						return
					}
					at, err := p.Wait(context.Background())
					results <- result{k, at, p.Duplicate(), err}
				})
			}
		}
	}
	all.Wait()
	close(results)
	at, stored := map[int]event.Cursor{}, map[int]int{}
	for got := range results {
		if got.err != nil {
			t.Fatal(got.err)
		}
		if was, ok := at[got.key]; ok && was != got.at {
			t.Errorf("key %d has the ids %v and %v", got.key, was, got.at)
		}
		at[got.key] = got.at
		if !got.duplicate {
			stored[got.key]++
		}
	}
	for k := range keys {
		if stored[k] != 1 {
			t.Errorf("key %d was stored %d times", k, stored[k])
		}
	}
}

// tailOf tails a log until the test ends, and returns the sequences so far.
func tailOf(t *testing.T, l *testLog) (seen func() []uint64) {
	t.Helper()
	var mu sync.Mutex
	var seqs []uint64
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	after := l.Last()
	go func() {
		ended <- l.Tail(ctx, after, func(e Entry) {
			mu.Lock()
			defer mu.Unlock()
			seqs = append(seqs, e.Cursor.Seq)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return func() []uint64 {
		mu.Lock()
		defer mu.Unlock()
		return append([]uint64(nil), seqs...)
	}
}

// A load appends until it is stopped, and records what was acknowledged.
type load struct {
	mu    sync.Mutex
	acked map[uint64]bool
	stop  chan struct{}
	ended sync.WaitGroup
}

func startLoad(t *testing.T, l *testLog) *load {
	t.Helper()
	d := &load{acked: map[uint64]bool{}, stop: make(chan struct{})}
	for w := range 4 {
		d.ended.Go(func() {
			for n, tick := w, time.Tick(2*time.Millisecond); ; n += 4 {
				select {
				case <-d.stop:
					return
				case <-tick:
				}
				ev, body := newEvent(n)
				if c, err := l.Append(context.Background(), ev, body); err == nil {
					d.mu.Lock()
					d.acked[c.Seq] = true
					d.mu.Unlock()
				}
			}
		})
	}
	return d
}

func (d *load) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.acked)
}

func (d *load) continues(t *testing.T) {
	t.Helper()
	was := d.count()
	testenv.Eventually(t, "appends continue", func() bool { return d.count() >= was+200 })
}

// testLossOfServer stops the server that the first log and one tail are connected to, and
// starts it again.
func testLossOfServer(t *testing.T, r natsenv.Cluster, logs []*testLog) {
	tails := []func() []uint64{tailOf(t, logs[0]), tailOf(t, logs[1]), tailOf(t, logs[2])}
	d := startLoad(t, logs[1])
	d.continues(t)
	r[0].Stop()
	d.continues(t)
	r[0].Restart()
	d.continues(t)
	close(d.stop)
	d.ended.Wait()
	_, last, err := logs[1].Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, seen := range tails {
		testenv.Eventually(t, fmt.Sprintf("tail %d is at the end", i), func() bool {
			seqs := seen()
			return len(seqs) > 0 && seqs[len(seqs)-1] >= last
		})
		has := map[uint64]bool{}
		before := uint64(0)
		for _, seq := range seen() {
			if seq <= before {
				t.Errorf("tail %d got %d after %d", i, seq, before)
			}
			before, has[seq] = seq, true
		}
		for seq := range d.acked {
			if !has[seq] {
				t.Errorf("tail %d did not get %d, which was acknowledged", i, seq)
			}
		}
	}
}

// testLossOfQuorum stops two of three servers, and starts them again.
func testLossOfQuorum(t *testing.T, r natsenv.Cluster, l *testLog) {
	j, err := l.Journal(t.Context(), JournalConfig{Name: "quorum"})
	if err != nil {
		t.Fatal(err)
	}
	seen := tailOf(t, l)
	testenv.Eventually(t, "the tail runs", func() bool {
		ev, body := newEvent(0)
		_, _ = l.Append(t.Context(), ev, body) // while a leader is elected it fails
		return len(seen()) > 0
	})
	r[1].Stop()
	r[2].Stop()
	testenv.Eventually(t, "the log is connected", l.conn.IsConnected)
	ev, body := newEvent(1)
	if _, err := l.Append(t.Context(), ev, body); !errors.Is(err, ErrUnavailable) {
		t.Errorf("append without a quorum: %v", err)
	}
	// More than the client allows to be in flight.
	many := make([]Record, appendBatch)
	for i := range many {
		many[i] = Record{Name: "n", Data: []byte("1")}
	}
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if _, err := j.Append(context.Background(), slices.Clone(many)...); !errors.Is(err, ErrUnavailable) {
				t.Errorf("append to a journal without a quorum: %v", err)
			}
		})
	}
	all.Wait()
	// A leader that has lost the others answers for some ten seconds, until it notices.
	testenv.Eventually(t, "the log is unavailable", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return errors.Is(l.Check(ctx), ErrUnavailable)
	})
	r[1].Restart()
	r[2].Restart()
	var at event.Cursor
	testenv.Eventually(t, "an append succeeds", func() bool {
		at, err = l.Append(t.Context(), ev, body)
		return err == nil
	})
	testenv.Eventually(t, "the journal stores records", func() bool {
		_, err := j.Append(t.Context(), Record{Name: "n"})
		return err == nil
	})
	testenv.Eventually(t, "the tail continues", func() bool {
		seqs := seen()
		return len(seqs) > 0 && seqs[len(seqs)-1] >= at.Seq
	})
	testenv.Eventually(t, "the log can be read and written", func() bool { return l.Check(t.Context()) == nil })
}
