// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package connlog

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/shard"
)

// A slowWriter blocks until it is released.
type slowWriter struct {
	bytes.Buffer
	entered sync.Once
	writing chan struct{} // closed at the first write
	release chan struct{}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.entered.Do(func() { close(w.writing) })
	<-w.release
	return w.Buffer.Write(p)
}

// Push never blocks. While the log blocks, notices beyond the limit are dropped and
// counted, and everything else is written in order.
func TestSlowLog(t *testing.T) {
	w := &slowWriter{writing: make(chan struct{}), release: make(chan struct{})}
	dropped := 0
	l := Start(slog.New(slog.NewTextHandler(w, nil)), func(lines int) { dropped += lines })
	l.Push(shard.Notice{Kind: shard.Connected, GatewayID: "first"})
	<-w.writing // the first notice still counts as pending
	const more = 7
	for range maxPending - 1 + more {
		l.Push(shard.Notice{Kind: shard.Connected, GatewayID: "g"})
	}
	close(w.release)
	l.Stop()
	if dropped != more {
		t.Errorf("%d notices were dropped, want %d", dropped, more)
	}
	text := w.String()
	if n := strings.Count(text, "gateway connected"); n != maxPending {
		t.Errorf("%d notices were written, want %d", n, maxPending)
	}
	if !strings.Contains(text[:strings.IndexByte(text, '\n')], "first") || !strings.Contains(text, "dropped=7") {
		t.Errorf("the log begins with %.200q", text)
	}
}

// Each kind of notice has its line.
func TestLines(t *testing.T) {
	var w bytes.Buffer
	l := Start(slog.New(slog.NewTextHandler(&w, nil)), func(int) {})
	l.Push(shard.Notice{Kind: shard.Disconnected, GatewayID: "g", Duration: time.Minute, EventsSent: 3, Detail: "reset"})
	l.Push(shard.Notice{Kind: shard.Disconnected, GatewayID: "g"})
	m := shard.NewMessage(event.Cursor{Epoch: 1, Seq: 2}, "", []byte(`{"type":"t","correlationId":"c"}`), 0)
	l.Push(shard.Notice{Kind: shard.DeliveryFailed, GatewayID: "g", Failure: event.FailedLost, Messages: []*shard.Message{m}})
	l.Stop()
	lines := strings.Split(strings.TrimSpace(w.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("logged %q", lines)
	}
	for i, want := range []string{"lived=1m0s events=3 detail=reset", "lived=0s events=0", `msg="delivery failed"`} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d is %q, want %q in it", i, lines[i], want)
		}
	}
	if strings.Contains(lines[1], "detail") {
		t.Errorf("a disconnection without a detail: %q", lines[1])
	}
}
