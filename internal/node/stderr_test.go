// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"log/slog"
	"os"
	"strings"
	"testing"
)

// Standard error is a pipe that nobody reads. The node serves all the same, also when
// what waits to be logged has come to its bound, counts what it drops, and ends.
func TestLogThatNobodyReads(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(t)
	cfg.Logger = slog.New(slog.NewJSONHandler(w, nil))
	s := start(t, cfg)
	s.gateway("g")
	for range 500 { // each is a line of the audit, and one of a failed delivery
		s.publish("g", `1`)
	}
	long := strings.Repeat("x", 1<<20)
	for range 20 { // more than may wait
		s.Node.cfg.Logger.Info("long", "text", long)
	}
	s.publish("g", `1`)
	if s.metric("gatecast_log_lines_dropped_total") == 0 {
		t.Error("no dropped line is counted")
	}
	s.drain() // it ends
	_ = r.Close()
	_ = w.Close()
}
