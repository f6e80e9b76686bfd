// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

func openBucket(tb testing.TB, l *testStore) *Bucket {
	tb.Helper()
	b, err := l.Bucket(tb.Context(), "registry")
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestBucket(t *testing.T) {
	for _, memory := range []bool{false, true} {
		t.Run(fmt.Sprintf("memory=%v", memory), func(t *testing.T) {
			b := openBucket(t, open(t, Config{InMemory: memory}))
			ctx := t.Context()
			missing := func(key string) {
				t.Helper()
				if v, _, err := b.Get(ctx, key); !errors.Is(err, auth.ErrNotFound) {
					t.Errorf("%s is %q, error %v", key, v, err)
				}
			}
			present := func(key, want string, rev uint64) {
				t.Helper()
				if v, r, err := b.Get(ctx, key); err != nil || string(v) != want || r != rev {
					t.Errorf("%s is %q at %d, error %v; want %q at %d", key, v, r, err, want, rev)
				}
			}
			conflict := func(what string, err error) {
				t.Helper()
				if !errors.Is(err, auth.ErrConflict) {
					t.Errorf("%s: %v, want a conflict", what, err)
				}
			}
			update := func(rev uint64) error { _, err := b.Update(ctx, "gateway.a", []byte("x"), rev); return err }
			create := func() error { _, err := b.Create(ctx, "gateway.a", []byte("x")); return err }

			missing("gateway.a")
			conflict("update of none at 0", update(0))
			conflict("update of none at 1", update(1))
			conflict("delete of none at 0", b.Delete(ctx, "gateway.a", 0))
			conflict("delete of none at 1", b.Delete(ctx, "gateway.a", 1))
			r1, err := b.Create(ctx, "gateway.a", []byte("one"))
			if err != nil {
				t.Fatal(err)
			}
			present("gateway.a", "one", r1)
			conflict("second create", create())
			r2, err := b.Update(ctx, "gateway.a", []byte("two"), r1)
			if err != nil || r2 <= r1 {
				t.Fatalf("revision %d after %d, error %v", r2, r1, err)
			}
			conflict("stale update", update(r1))
			conflict("stale delete", b.Delete(ctx, "gateway.a", r1))
			conflict("delete at 0", b.Delete(ctx, "gateway.a", 0))
			present("gateway.a", "two", r2)
			if err := b.Delete(ctx, "gateway.a", r2); err != nil {
				t.Fatal(err)
			}
			missing("gateway.a")
			conflict("update of what was deleted", update(r2))
			r3, err := b.Create(ctx, "gateway.a", []byte("three"))
			if err != nil || r3 <= r2 {
				t.Fatalf("revision %d after %d, error %v", r3, r2, err)
			}
			present("gateway.a", "three", r3)
			conflict("create of what is there again", create())

			if _, err := b.Create(ctx, "not a key", nil); err == nil || errors.Is(err, storage.ErrUnavailable) || errors.Is(err, auth.ErrConflict) {
				t.Errorf("a bad key: %v", err)
			}
			ended, cancel := context.WithCancel(ctx)
			cancel()
			if _, _, err := b.Get(ended, "gateway.a"); !errors.Is(err, context.Canceled) {
				t.Errorf("an ended context: %v", err)
			}
		})
	}
}

// A key is never read from a replica that can lag.
func TestBucketReadsFromTheLeader(t *testing.T) {
	c := natsenv.StartCluster(t)
	b := openBucket(t, open(t, Config{URL: c.URLs(0, 1, 2)}))
	spy := c[0].Conn()
	direct, err := spy.SubscribeSync("$JS.API.DIRECT.GET.>")
	if err == nil {
		err = spy.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for range 20 {
		revision, err := b.Create(ctx, "gateway.a", []byte("one"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Create(ctx, "gateway.a", []byte("two")); !errors.Is(err, auth.ErrConflict) {
			t.Fatalf("a second create: %v, want a conflict", err)
		}
		if value, r, err := b.Get(ctx, "gateway.a"); err != nil || string(value) != "one" || r != revision {
			t.Fatalf("got %q at %d, error %v; want one at %d", value, r, err, revision)
		}
		if err := b.Delete(ctx, "gateway.a", revision); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.Get(ctx, "gateway.a"); !errors.Is(err, auth.ErrNotFound) {
			t.Fatalf("got it after its removal, error %v", err)
		}
	}
	// The spy gets requests in order: what is before the mark has come when it has.
	if err := b.store.conn.Publish("$JS.API.DIRECT.GET.mark", nil); err != nil {
		t.Fatal(err)
	}
	for m := (&nats.Msg{}); m.Subject != "$JS.API.DIRECT.GET.mark"; {
		if m, err = direct.NextMsg(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(m.Subject, "KV_registry") {
			t.Fatalf("read from any replica: %s", m.Subject)
		}
	}
}

func TestBucketSurvivesRestart(t *testing.T) {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "log")}
	l := open(t, cfg)
	rev, err := openBucket(t, l).Create(t.Context(), "k", []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	b := openBucket(t, open(t, cfg))
	if v, r, err := b.Get(t.Context(), "k"); err != nil || string(v) != "v" || r != rev {
		t.Errorf("%q at %d, error %v; want v at %d", v, r, err, rev)
	}
}

// Of concurrent changes of a key, one succeeds in each round.
func TestBucketOneWriterWins(t *testing.T) {
	b := openBucket(t, open(t, Config{InMemory: true}))
	rev, err := b.Create(t.Context(), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 20 {
		won := make(chan uint64, 8)
		var wg sync.WaitGroup
		for range cap(won) {
			wg.Go(func() {
				if r, err := b.Update(t.Context(), "k", nil, rev); err == nil {
					won <- r
				} else if !errors.Is(err, auth.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d won", round, len(won))
		}
		rev = <-won
	}
}

// watch runs a watch until the test ends and returns its changes.
func watch(t *testing.T, b *Bucket) <-chan auth.Change {
	t.Helper()
	changes := make(chan auth.Change, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Watch(ctx, func(c auth.Change) { changes <- c }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the watch ended with %v", err)
		}
	})
	return changes
}

func next(t *testing.T, changes <-chan auth.Change) auth.Change {
	t.Helper()
	select {
	case c := <-changes:
		return c
	case <-time.After(time.Minute):
		t.Fatal("no change came")
		panic("unreachable")
	}
}

func TestWatch(t *testing.T) {
	b := openBucket(t, open(t, Config{}))
	ctx := t.Context()
	want := func(changes <-chan auth.Change, key, value string, rev uint64, deleted bool) {
		t.Helper()
		if c := next(t, changes); c.Key != key || string(c.Value) != value || c.Revision != rev || c.Deleted != deleted || c.Synced {
			t.Errorf("got %+v, want %s=%s at %d, deleted %v", c, key, value, rev, deleted)
		}
	}
	synced := func(changes <-chan auth.Change) {
		t.Helper()
		if c := next(t, changes); !c.Synced || c.Key != "" {
			t.Errorf("got %+v, want synced", c)
		}
	}
	empty := watch(t, b)
	synced(empty)

	a, err := b.Create(ctx, "a", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	gone, err := b.Create(ctx, "gone", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	want(empty, "a", "1", a, false)
	want(empty, "gone", "1", gone, false) // before the next change replaces it
	if err := b.Delete(ctx, "gone", gone); err != nil {
		t.Fatal(err)
	}
	want(empty, "gone", "", gone+1, true)

	full := watch(t, b)
	want(full, "a", "1", a, false)
	synced(full) // without the key that is gone
	a2, err := b.Update(ctx, "a", []byte("2"), a)
	if err != nil {
		t.Fatal(err)
	}
	both := []<-chan auth.Change{empty, full}
	for _, changes := range both {
		want(changes, "a", "2", a2, false)
	}
	if err := b.Delete(ctx, "a", a2); err != nil {
		t.Fatal(err)
	}
	for _, changes := range both {
		want(changes, "a", "", a2+1, true)
	}
}

// A change during the start of a watch is passed on before or after Synced, and is not lost.
func TestWatchWhileChanging(t *testing.T) {
	b := openBucket(t, open(t, Config{InMemory: true}))
	const n = 500
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range n {
			key := fmt.Sprintf("k%d", i)
			rev, err := b.Create(t.Context(), key, nil)
			if err == nil && i%2 == 1 {
				err = b.Delete(t.Context(), key, rev)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
		if _, err := b.Create(t.Context(), "end", nil); err != nil {
			t.Error(err)
		}
	})
	for range 3 {
		changes := watch(t, b)
		present, syncs := map[string]bool{}, 0
		for !present["end"] || syncs == 0 {
			c := next(t, changes)
			switch {
			case c.Synced:
				syncs++
			case c.Deleted:
				delete(present, c.Key)
			default:
				present[c.Key] = true
			}
		}
		if len(present) != n/2+1 || syncs != 1 {
			t.Errorf("%d keys and %d syncs, want %d and 1", len(present), syncs, n/2+1)
		}
	}
	writer.Wait()
}

// A watch with a slow function ends, and leaves nothing running.
func TestSlowWatchEnds(t *testing.T) {
	l := open(t, Config{InMemory: true})
	b := openBucket(t, l)
	for i := range 1000 {
		if _, err := b.Create(t.Context(), fmt.Sprintf("k%d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := b.Watch(ctx, func(auth.Change) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	first := true
	err := b.Watch(t.Context(), func(auth.Change) {
		if first {
			first = false
			go l.Close()
			<-l.ctx.Done()
		}
	})
	if !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a watch of a log that closes: %v", err)
	}
}
