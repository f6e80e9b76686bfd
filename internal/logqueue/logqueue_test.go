// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package logqueue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A log that lags by some thousand lines, as one in a file can, loses none, and
// keeps their order and attributes.
func TestNothingIsLost(t *testing.T) {
	var out bytes.Buffer
	q := New(slog.NewJSONHandler(&out, nil), func(int) { t.Error("a line is dropped") })
	logger := slog.New(q.Handler()).With("node", "n1").WithGroup("g")
	const n = 30_000
	for i := range n {
		logger.Info("line", "n", i, "error", errors.New("broken"))
	}
	q.Close(time.Minute)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != n {
		t.Fatalf("%d lines of %d", len(lines), n)
	}
	for i, text := range lines {
		if !strings.HasSuffix(text, fmt.Sprintf(`"msg":"line","node":"n1","g":{"n":%d,"error":"broken"}}`, i)) {
			t.Fatalf("line %d is %s", i, text)
		}
	}
}

// Nobody reads what is logged: nobody who logs waits, what waits is bounded, and when it
// is read again the log says how much was lost.
func TestNobodyReads(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var dropped atomic.Int64
	q := New(slog.NewJSONHandler(w, nil), func(n int) { dropped.Add(int64(n)) })
	logger := slog.New(q.Handler())
	const writers, each = 4, 40_000
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range each {
				msg := "line"
				if i%2 == 0 {
					msg = "audit"
				}
				logger.Info(msg, "text", strings.Repeat("x", 200))
			}
		})
	}
	wg.Wait() // it ends, although nothing is read
	if q.bytes.Load() > maxBytes {
		t.Errorf("%d bytes wait", q.bytes.Load())
	}
	if dropped.Load() == 0 {
		t.Fatal("nothing was dropped; log more")
	}
	text := make(chan []byte, 1)
	go func() { b, _ := io.ReadAll(r); text <- b }()
	q.Close(time.Minute)
	_ = w.Close()
	var written, lost, lostAudit int64
	for line := range bytes.Lines(<-text) {
		var l struct {
			Action, Outcome   string
			Lines, AuditLines int64
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if l.Action == "" {
			written++
			continue
		}
		if l.Action != "log" || l.Outcome != "lines_lost" {
			t.Errorf("%s", line)
		}
		lost, lostAudit = lost+l.Lines, lostAudit+l.AuditLines
	}
	if lost != dropped.Load() || written+lost != writers*each || lostAudit == 0 || lostAudit >= lost {
		t.Errorf("%d lines are written; %d are lost, %d of them the audit's, by what it says; %d were dropped", written, lost, lostAudit, dropped.Load())
	}
}

// Closing takes no longer than it may, and what comes later is dropped.
func TestCloseIsBounded(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var dropped atomic.Int64
	q := New(slog.NewTextHandler(w, nil), func(n int) { dropped.Add(int64(n)) })
	logger := slog.New(q.Handler())
	for range 10_000 { // more than a pipe takes
		logger.Info(strings.Repeat("x", 100))
	}
	q.Close(time.Millisecond)
	before := dropped.Load()
	logger.Info("late")
	if dropped.Load() != before+1 {
		t.Error("a late line is not counted")
	}
	_ = r.Close() // the write under way fails
	_ = w.Close()
	<-q.ended
}
