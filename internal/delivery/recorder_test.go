// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"log/slog"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/delivery/tracker"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/natsstore"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// open returns a Recorder on an empty log in memory.
func open(t *testing.T) *Recorder {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	store, err := natsstore.Open(t.Context(), natsstore.Config{InMemory: true, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Open(t.Context(), store, eventlog.Config{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), Config{
		NodeID: "node", Log: log, Retention: time.Hour,
		IsTarget: func(string, event.Target, event.Cursor, time.Time) bool { return true },
		Counts:   metrics.NewNode("test"), Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Stop()
		log.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// nothingPending waits until every report is recorded.
func (r *Recorder) nothingPending(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); r.pending.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are pending", r.pending.Load())
		}
	}
}

// A report counts in pending until it is recorded. When too much is pending, reports are
// dropped and counted.
func TestPendingIsBounded(t *testing.T) {
	r := open(t)
	for range 3 {
		r.Report(shard.Report{
			Progress: []tracker.Progress{{GatewayID: "g", From: 1, To: 2}}, Starts: []shard.ConnectionStart{{GatewayID: "g", After: 1}},
			Inbound: []shard.Inbound{{Kind: event.DeploymentAck, GatewayID: "g", At: time.Now(), Payload: []byte(`{}`)}},
		})
		r.Missed(Missed{Gateways: []string{"g"}, Total: 1})
		r.Failed(shard.Notice{Kind: shard.DeliveryFailed, GatewayID: "g", At: time.Now(), Messages: []*shard.Message{shard.NewMessage(event.Cursor{Epoch: 1, Seq: 1}, "", []byte(`{"type":"t"}`), 0)}})
	}
	r.nothingPending(t)

	r.pending.Add(maxPending) // as if the log were unreachable for long
	r.Report(shard.Report{Progress: make([]tracker.Progress, 5), Starts: make([]shard.ConnectionStart, 2), Inbound: make([]shard.Inbound, 3)})
	r.Missed(Missed{Gateways: make([]string, 4), Total: 4})
	if dropped := testutil.ToFloat64(r.Counts.RecordsDropped); dropped != 14 {
		t.Errorf("%v records are counted as dropped, want 14", dropped)
	}
	r.pending.Add(-maxPending)
}

// The reports of a broadcast to a million connections fit into pending.
func TestBroadcastIsNotDropped(t *testing.T) {
	rep := report{shard: shard.Report{Progress: make([]tracker.Progress, 1_000_000)}}
	if bytes, records := rep.size(); bytes > maxPending || records != 1_000_000 {
		t.Errorf("%d records take %d bytes", records, bytes)
	}
}
