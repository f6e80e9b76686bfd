// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
	"github.com/gatecast/gatecast/test/testenv"
	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

// A watched is a bucket that is watched as the registry does it: again, after a watch has
// ended.
type watched struct {
	*Bucket
	mu     sync.Mutex
	ends   []error           // of watches
	resets int               // that were passed on
	synced bool              // the present watch has passed on Synced
	values map[string]string // that were passed on since the last reset
	newest uint64            // revision that was passed on
	fell   bool              // a revision was not higher than one before the watch
}

func watchBucket(t *testing.T, l *testStore) *watched {
	t.Helper()
	b, err := l.Bucket(t.Context(), "watched")
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{Bucket: b, values: make(map[string]string)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			err := b.Watch(ctx, w.take)
			w.mu.Lock()
			w.ends = append(w.ends, err)
			w.synced = false
			w.mu.Unlock()
			sleep(ctx, openPause)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return w
}

func (w *watched) take(c auth.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case c.Reset:
		w.resets++
		clear(w.values)
	case c.Synced:
		w.synced = true
	case c.Deleted:
		delete(w.values, c.Key)
	default:
		w.values[c.Key] = string(c.Value)
	}
	if w.resets > 0 && c.Revision > 0 && c.Revision <= w.newest && w.values[c.Key] == "after" {
		w.fell = true
	}
	w.newest = max(w.newest, c.Revision)
}

func (w *watched) resetTimes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.resets
}

func (w *watched) has(key, value string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.synced && w.values[key] == value
}

func (w *watched) put(t *testing.T, key, value string) uint64 {
	t.Helper()
	var revision uint64
	testenv.Eventually(t, key+" is put", func() (done bool) {
		_, at, err := w.Get(t.Context(), key)
		switch {
		case errors.Is(err, auth.ErrNotFound):
			revision, err = w.Create(t.Context(), key, []byte(value))
		case err == nil:
			revision, err = w.Update(t.Context(), key, []byte(value), at)
		}
		return err == nil
	})
	return revision
}

// A watch ends with the connection, and the next one has all keys.
func TestWatchEndsWithTheConnection(t *testing.T) {
	s := natsenv.Start(t)
	cfg := Config{URL: s.URL(), Logger: slog.New(slog.DiscardHandler)}
	one, other := watchBucket(t, open(t, cfg)), watchBucket(t, open(t, cfg))
	one.put(t, "k", "before")
	testenv.Eventually(t, "both know it", func() bool { return one.has("k", "before") && other.has("k", "before") })
	s.Stop()
	testenv.Eventually(t, "the watches have ended", func() bool {
		for _, w := range []*watched{one, other} {
			w.mu.Lock()
			ended := len(w.ends) > 0 && errors.Is(w.ends[0], storage.ErrUnavailable) && !w.synced
			w.mu.Unlock()
			if !ended {
				return false
			}
		}
		return true
	})
	s.Restart()
	one.put(t, "k", "after")
	testenv.Eventually(t, "both know the change", func() bool { return one.has("k", "after") && other.has("k", "after") })
	if one.resetTimes()+other.resetTimes() > 0 {
		t.Error("a reset was reported, and nothing was lost")
	}
}

// A bucket whose stream is deleted is made again by a watch, and its revisions continue.
func TestBucketIsMadeAgain(t *testing.T) {
	t.Parallel() // mostly waits
	s := natsenv.Start(t)
	cfg := Config{URL: s.URL(), Logger: slog.New(slog.DiscardHandler)}
	one, other := watchBucket(t, open(t, cfg)), watchBucket(t, open(t, cfg))
	was := one.put(t, "k", "before")
	was = max(was, one.put(t, "other", "before"))
	testenv.Eventually(t, "both know it", func() bool { return one.has("other", "before") && other.has("other", "before") })
	if err := s.JetStream().DeleteStream(t.Context(), one.stream); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "both report that it was lost", func() bool {
		return slices.IndexFunc([]*watched{one, other}, func(w *watched) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.resets != 1 || !w.synced
		}) < 0
	})
	if _, err := one.Update(t.Context(), "k", []byte("x"), was); !errors.Is(err, auth.ErrConflict) {
		t.Errorf("an update from before: %v", err)
	}
	if err := one.Delete(t.Context(), "k", was); !errors.Is(err, auth.ErrConflict) {
		t.Errorf("a deletion from before: %v", err)
	}
	if now := one.put(t, "k", "after"); now <= was {
		t.Errorf("revision %d comes after %d", now, was)
	}
	testenv.Eventually(t, "both know the new value", func() bool { return one.has("k", "after") && other.has("k", "after") })
	if one.fell || other.fell {
		t.Error("a revision went back")
	}
	if err := other.CatchUp(t.Context()); err != nil {
		t.Error(err)
	}
}

// A bucket that has gone back to an older copy has lost the later changes.
func TestBucketGoesBack(t *testing.T) {
	s := natsenv.Start(t)
	b := watchBucket(t, open(t, Config{URL: s.URL(), Logger: slog.New(slog.DiscardHandler)}))
	b.put(t, "k", "old")
	b.put(t, "k", "new")
	testenv.Eventually(t, "it is known", func() bool { return b.has("k", "new") })
	js := s.JetStream()
	stream, err := js.Stream(t.Context(), b.stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	if err := js.DeleteStream(t.Context(), b.stream); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), "watched")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(t.Context(), "k", []byte("old")); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		t.Fatal(err)
	}
	testenv.Eventually(t, "what is there now is known", func() bool { return b.has("k", "old") && b.resetTimes() == 1 })
}

// When CatchUp returns, the watch has every change that others had made.
func TestBucketCatchesUp(t *testing.T) {
	s := natsenv.Start(t)
	cfg := Config{URL: s.URL(), Logger: slog.New(slog.DiscardHandler)}
	one, other := watchBucket(t, open(t, cfg)), watchBucket(t, open(t, cfg))
	testenv.Eventually(t, "both watch", func() bool { return one.has("none", "") && other.has("none", "") })
	for i := range 200 {
		key, value := "k", string(rune('a'+i%26))
		one.put(t, key, value)
		if err := other.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !other.has(key, value) {
			t.Fatalf("change %d is not known", i)
		}
	}
	s.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), openTry)
	defer cancel()
	if err := other.CatchUp(ctx); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("without a connection: %v", err)
	}
}
