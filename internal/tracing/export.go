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

// complainEvery is how often it is logged that spans are lost, at most.
const logInterval = time.Minute

// maxComplaint bounds what is logged of an error, in bytes: it may hold a page of
// the collector's.
const maxLoggedError = 256

// tracesPath returns the path that spans are posted to, below the endpoint's own
// (OTLP specification, "Endpoint URLs for OTLP/HTTP").
func tracesPath(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "/v1/traces" // the exporter says what is wrong with the endpoint
	}
	return strings.TrimSuffix(u.Path, "/") + "/v1/traces"
}

// An exporter counts what waits to be exported and what is lost, and logs errors
// by itself: what the SDK is told goes to a handler that all of the process
// shares.
type exporter struct {
	sdk.SpanExporter
	logger  *slog.Logger
	dropped func(int)
	ctx     context.Context // ends when nothing is to be exported any more
	cancel  context.CancelFunc

	queued     atomic.Int64 // spans in the queue and in the batch that is exported
	unreported atomic.Int64 // spans that were not complained of yet

	mu      sync.Mutex // held while it is logged; who ends a span never takes it
	nextLog time.Time  // nothing is logged before
}

func newExporter(to sdk.SpanExporter, cfg Config) *exporter {
	x := &exporter{SpanExporter: to, logger: cfg.Logger, dropped: cfg.Dropped}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	return x
}

// ExportSpans implements [sdk.SpanExporter].
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

// lose counts spans that will not be exported.
func (x *exporter) drop(n int) {
	x.dropped(n)
	x.unreported.Add(int64(n))
}

// complain logs what was lost, once in a while. Err is the last reason, nil when
// it is that the queue was full.
func (x *exporter) logDropped(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	if x.unreported.Load() == 0 || now.Before(x.nextLog) {
		return
	}
	why := "the collector is too slow"
	if err != nil {
		why = truncate(err.Error())
	}
	x.logger.Warn("tracing: spans were not exported", "spans", x.unreported.Swap(0), "error", why)
	x.nextLog = now.Add(logInterval)
}

// unsaid is the error that tells of what was lost and not logged.
func (x *exporter) unreportedError() error {
	if n := x.unreported.Swap(0); n > 0 {
		return fmt.Errorf("%d spans were not exported", n)
	}
	return nil
}

func truncate(text string) string {
	if len(text) > maxLoggedError {
		text = strings.ToValidUTF8(text[:maxLoggedError], "") + "…"
	}
	return text
}

// bounded is the SDK's queue of spans, with a bound that counts what is over it.
// The queue has room for all that wait, and so never drops anything itself.
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
