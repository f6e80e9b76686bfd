// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	sampled    = event.Traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	notSampled = event.Traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02")
)

// A lockedBuffer is a log that goroutines share.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t testing.TB, cfg Config) *Tracer {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.NodeID, cfg.Version = "n1", "1.2.3"
	tracer, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// nowhere is an endpoint at which nobody listens.
const nowhere = "http://127.0.0.1:1"

func shut(t testing.TB, tracer *Tracer) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_ = tracer.Close(ctx) // what is left is lost
}

func TestTracesPath(t *testing.T) {
	for endpoint, want := range map[string]string{
		"http://127.0.0.1:4318":       "/v1/traces",
		"http://127.0.0.1:4318/":      "/v1/traces",
		"https://collector/otlp":      "/otlp/v1/traces",
		"https://collector/a/b/otlp/": "/a/b/otlp/v1/traces",
	} {
		if got := tracesPath(endpoint); got != want {
			t.Errorf("tracesPath(%q) = %q, want %q", endpoint, got, want)
		}
	}
}

// About as many publishes without a parent are traced as are wanted, and their
// deliveries with them; a parent has the word over its own.
func TestSampling(t *testing.T) {
	for _, part := range []float64{0, 0.25, 1} {
		tracer := start(t, Config{Endpoint: nowhere, Sample: part})
		const publishes = 2000
		n := 0
		for range publishes {
			if p := tracer.Publish(""); p != nil {
				n++
				p.End("")
			}
			if p := tracer.Publish(notSampled); p != nil {
				t.Fatal("traced against its parent's word")
			}
		}
		if p := tracer.Publish(sampled); p == nil {
			t.Errorf("part %v: not traced against its parent's word", part)
		}
		if want := part * publishes; float64(n) < want*0.8 || float64(n) > want*1.2 {
			t.Errorf("part %v: %d of %d are traced", part, n, publishes)
		}
		shut(t, tracer)
	}
}

func TestTraceparentOfASpan(t *testing.T) {
	tracer := start(t, Config{Endpoint: nowhere, Sample: 1})
	defer shut(t, tracer)
	root, child := tracer.Publish(""), tracer.Publish(sampled)
	if p := root.Traceparent(); !p.Sampled() || p.TraceID() == sampled.TraceID() {
		t.Errorf("a root is %q", p)
	}
	if p := child.Traceparent(); !p.Sampled() || p.TraceID() != sampled.TraceID() || p.SpanID() == sampled.SpanID() {
		t.Errorf("a child is %q", p)
	}
	root.End("")
	child.End("")
}

// Deliveries are traced as their publishes were.
func TestDeliver(t *testing.T) {
	tracer := start(t, Config{Endpoint: nowhere, Sample: 1})
	defer shut(t, tracer)
	for parent, want := range map[event.Traceparent]bool{"": false, notSampled: false, sampled: true} {
		e := event.Event{Target: event.Target{All: true}, Type: "t", Timestamp: time.Now(), Traceparent: parent}
		d := tracer.Deliver(event.Cursor{Epoch: 1, Seq: 1}, e.AppendBody(nil))
		if (d != nil) != want {
			t.Errorf("parent %q: traced is %v", parent, d != nil)
		}
		if d != nil {
			d.End("t", e.Target, 1, 1)
		}
	}
}

// What is not traced allocates nothing.
func TestNotTracedCostsNothing(t *testing.T) {
	tracer := start(t, Config{Endpoint: nowhere, Sample: 1})
	defer shut(t, tracer)
	with := event.Event{Target: event.Target{All: true}, Type: "t", Traceparent: notSampled}
	without := event.Event{Target: event.Target{All: true}, Type: "t"}
	a, b := with.AppendBody(nil), without.AppendBody(nil)
	n := testing.AllocsPerRun(100, func() {
		if tracer.Publish(notSampled) != nil || tracer.Deliver(event.Cursor{}, b) != nil {
			t.Fatal("traced")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	// Reading the name of the span is one.
	if n := testing.AllocsPerRun(100, func() { tracer.Deliver(event.Cursor{}, a) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// A stuck exporter holds spans until it is let go, and then fails.
type stuck struct {
	sdk.SpanExporter
	began chan struct{}
	fail  chan error
}

func (s *stuck) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	s.began <- struct{}{}
	select {
	case err := <-s.fail:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Every span is exported or counted, and what is over the bound waits for nobody.
func TestQueueIsBounded(t *testing.T) {
	var dropped atomic.Int64
	var lines lockedBuffer
	to := &stuck{tracetest.NewInMemoryExporter(), make(chan struct{}, 1000), make(chan error)}
	x := newExporter(to, Config{
		Logger: slog.New(slog.NewTextHandler(&lines, nil)), Dropped: func(n int) { dropped.Add(int64(n)) },
	})
	queue := &boundedQueue{x, sdk.NewBatchSpanProcessor(x, sdk.WithMaxQueueSize(maxQueued), sdk.WithMaxExportBatchSize(batchSpans), sdk.WithBatchTimeout(time.Hour))}
	span := tracetest.SpanStub{Name: "s", SpanContext: trace.SpanContextFromContext(withParent(sampled))}.Snapshot()
	const over = 1000
	for range maxQueued + over {
		queue.OnEnd(span)
	}
	if n := dropped.Load(); n != over {
		t.Errorf("%d spans were dropped, want %d", n, over)
	}
	<-to.began
	to.fail <- errors.New("the collector said no: " + strings.Repeat("x", 10_000))
	<-to.began // the batch is counted before the next begins
	if n := dropped.Load(); n != over+batchSpans {
		t.Errorf("%d spans were dropped, want %d", n, over+batchSpans)
	}
	x.cancel()
	if err := queue.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if n := dropped.Load(); n != over+maxQueued {
		t.Errorf("%d spans were dropped in the end, want %d", n, over+maxQueued)
	}
	if s := lines.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "said no") || len(s) > 2*maxLoggedError {
		t.Errorf("it is logged: %s", s)
	}
	if err := x.unreportedError(); err == nil || !strings.Contains(err.Error(), "7680") {
		t.Errorf("not logged yet: %v", err)
	}
}

// A collector that takes its time is not waited for longer than Close is given.
func TestCloseIsBounded(t *testing.T) {
	release := make(chan struct{})
	c := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer c.Close()
	defer close(release)
	tracer := start(t, Config{Endpoint: c.URL, Sample: 1})
	tracer.Publish("").End("")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := tracer.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Close took %v", took)
	}
}

func BenchmarkPublish(b *testing.B) {
	c := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer c.Close()
	for name, parent := range map[string]event.Traceparent{"traced": sampled, "not traced": notSampled} {
		b.Run(name, func(b *testing.B) {
			tracer := start(b, Config{Endpoint: c.URL, Sample: 1})
			ev := &event.Event{Target: event.Target{GatewayIDs: []string{"g"}}, Type: "api.deployed"}
			b.ReportAllocs()
			for b.Loop() {
				p := tracer.Publish(parent)
				if p == nil {
					continue
				}
				_ = p.Traceparent()
				p.Append(ev, 1)
				p.Appended(event.Cursor{Epoch: 1, Seq: 1}, false)
				p.End("")
			}
			shut(b, tracer)
		})
	}
}
