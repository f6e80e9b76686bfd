// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
	"github.com/gatecast/gatecast/internal/natsstore"
)

// A config has the settings of a test's log and of the store under it.
type config struct {
	Dir, URL       string
	InMemory       bool
	SyncAlways     bool
	Retention      time.Duration
	RetentionBytes int64
	MaxEventBytes  int
	Replicas       int
	Repair         bool
	Node           string
	OnSkipped      func(Source)
	Logger         *slog.Logger

	// wrap wraps the store for the log; nil: it does not.
	wrap func(storage.Store) storage.Store
}

// A testLog is a log with the store under it, and NATS' own view of that.
type testLog struct {
	*Log
	store *natsstore.Store
	dir   string
	conn  *nats.Conn
	js    jetstream.JetStream
}

func (l *testLog) Bucket(ctx context.Context, name string) (*natsstore.Bucket, error) {
	return l.store.Bucket(ctx, name)
}

// Close closes the log and its store. A second call does nothing.
func (l *testLog) Close() error {
	l.Log.Close()
	return l.store.Close()
}

// openLog opens a log in a store of its own. The caller closes it.
func openLog(ctx context.Context, cfg config) (*testLog, error) {
	store, err := natsstore.Open(ctx, natsstore.Config{
		Dir: cfg.Dir, URL: cfg.URL, InMemory: cfg.InMemory, SyncAlways: cfg.SyncAlways, MaxEventBytes: cfg.MaxEventBytes,
		Replicas: cfg.Replicas, Repair: cfg.Repair, Node: cfg.Node, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	wrapped := storage.Store(store)
	if cfg.wrap != nil {
		wrapped = cfg.wrap(store)
	}
	l, err := Open(ctx, wrapped, Config{
		Retention: cfg.Retention, RetentionBytes: cfg.RetentionBytes, Node: cfg.Node, OnSkipped: cfg.OnSkipped, Logger: cfg.Logger,
	})
	if err == nil {
		var js jetstream.JetStream
		if js, err = jetstream.New(store.Conn()); err == nil {
			return &testLog{Log: l, store: store, dir: cfg.Dir, conn: store.Conn(), js: js}, nil
		}
	}
	_ = store.Close() // err says more
	return nil, err
}

// open opens a log that the test closes.
func open(tb testing.TB, cfg config) *testLog {
	tb.Helper()
	if cfg.Dir == "" && !cfg.InMemory {
		cfg.Dir = filepath.Join(tb.TempDir(), "log")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := openLog(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeLog(tb, l) })
	return l
}

func closeLog(tb testing.TB, l *testLog) {
	tb.Helper()
	if err := l.Close(); err != nil {
		tb.Error(err)
	}
}
