// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A testStore is a store with an event log.
type testStore struct {
	*Store
	*eventlog.Log
}

func (s *testStore) Check(ctx context.Context) error { return s.Log.Check(ctx) }

// Close closes the log and the store. A second call does nothing.
func (s *testStore) Close() error {
	s.Log.Close()
	return s.Store.Close()
}

// openLog opens a store with an event log. The caller closes it.
func openLog(ctx context.Context, cfg Config, events ...eventlog.Config) (*testStore, error) {
	store, err := Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	lc := eventlog.Config{Node: cfg.Node, Logger: cfg.Logger}
	if len(events) > 0 {
		lc.Retention, lc.RetentionBytes = events[0].Retention, events[0].RetentionBytes
	}
	l, err := eventlog.Open(ctx, store, lc)
	if err != nil {
		_ = store.Close() // err says more
		return nil, err
	}
	return &testStore{store, l}, nil
}

// open opens a store with an event log that the test closes.
func open(tb testing.TB, cfg Config, events ...eventlog.Config) *testStore {
	tb.Helper()
	if cfg.Dir == "" && !cfg.InMemory {
		cfg.Dir = filepath.Join(tb.TempDir(), "log")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := openLog(tb.Context(), cfg, events...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeLog(tb, s) })
	return s
}

func closeLog(tb testing.TB, s *testStore) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Error(err)
	}
}

// newEvent returns event number n and its body.
func newEvent(n int) (*event.Event, []byte) {
	ev := &event.Event{
		Target:        event.Target{GatewayIDs: []string{fmt.Sprintf("gw-%d", n%7)}},
		Type:          fmt.Sprintf("test.n%d", n),
		Payload:       []byte(`{"some":"payload"}`),
		Timestamp:     time.Date(2026, 3, 1, 12, 0, 0, n, time.UTC),
		CorrelationID: "c",
	}
	return ev, ev.AppendBody(nil)
}

// add appends event number n.
func add(tb testing.TB, s *testStore, n int) event.Cursor {
	tb.Helper()
	ev, body := newEvent(n)
	c, err := s.Append(tb.Context(), ev, body)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}
