// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// logInterval is the shortest time between two log lines about dropped spans.
const logInterval = time.Minute

// maxLoggedError bounds an error in the log, in bytes: it can contain a whole
// page from the collector.
const maxLoggedError = 256

// tracesPath returns the path to which spans are posted: /v1/traces below the
// path of the endpoint (OTLP specification, "Endpoint URLs for OTLP/HTTP").
func tracesPath(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "/v1/traces" // the exporter reports what is wrong with the endpoint
	}
	return strings.TrimSuffix(u.Path, "/") + "/v1/traces"
}

// An exporter sends spans to the collector. It counts those that wait and those
// that are dropped, and logs errors itself: errors that it returned to the SDK
// would go to a handler that is global to the process.
type exporter struct {
	sdk.SpanExporter
	logger  *slog.Logger
	dropped func(int)
	ctx     context.Context // ends when exports are to stop
	cancel  context.CancelFunc

	queued     atomic.Int64 // spans in the SDK's queue and in the batch that is being exported
	unreported atomic.Int64 // dropped spans that were not logged yet

	mu      sync.Mutex // held while logging; ending a span never takes it
	nextLog time.Time  // no log line before
}

// newExporter wraps the exporter of the SDK.
func newExporter(to sdk.SpanExporter, cfg Config) *exporter {
	x := &exporter{SpanExporter: to, logger: cfg.Logger, dropped: cfg.Dropped}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	return x
}

// ExportSpans implements [sdk.SpanExporter]. It never returns an error, see
// exporter.
func (x *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(x.ctx, cancel)()
	err := x.SpanExporter.ExportSpans(ctx, spans)
	x.queued.Add(-int64(len(spans)))
	if err != nil {
		x.drop(len(spans))
	}
	x.logDropped(err)
	return nil
}

// drop counts spans that will not be exported. Any goroutine may call it.
func (x *exporter) drop(n int) {
	x.dropped(n)
	x.unreported.Add(int64(n))
}

// logDropped logs dropped spans, at most once per logInterval. A nil err means
// that the queue was full.
func (x *exporter) logDropped(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	if x.unreported.Load() == 0 || now.Before(x.nextLog) {
		return
	}
	reason := "the collector is too slow"
	if err != nil {
		reason = truncate(err.Error())
	}
	x.logger.Warn("tracing: spans were not exported", "spans", x.unreported.Swap(0), "error", reason)
	x.nextLog = now.Add(logInterval)
}

// unreportedError returns an error for the dropped spans that were not logged,
// or nil.
func (x *exporter) unreportedError() error {
	if n := x.unreported.Swap(0); n > 0 {
		return fmt.Errorf("%d spans were not exported", n)
	}
	return nil
}

// truncate cuts text to at most maxLoggedError bytes.
func truncate(text string) string {
	if len(text) > maxLoggedError {
		text = strings.ToValidUTF8(text[:maxLoggedError], "") + "…"
	}
	return text
}

// A boundedQueue is the SDK's queue of spans with a bound that counts what
// exceeds it. The SDK's own bound drops silently; its queue is as long as this
// bound, so it never does.
type boundedQueue struct {
	exporter *exporter
	sdk.SpanProcessor
}

// OnEnd implements [sdk.SpanProcessor]. It never blocks.
func (b *boundedQueue) OnEnd(s sdk.ReadOnlySpan) {
	if b.exporter.queued.Add(1) > maxQueued {
		b.exporter.queued.Add(-1)
		b.exporter.drop(1)
		return
	}
	b.SpanProcessor.OnEnd(s)
}
