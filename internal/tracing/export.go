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
const complainEvery = time.Minute

// maxComplaint bounds what is logged of an error, in bytes: it may hold a page of
// the collector's.
const maxComplaint = 256

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
	life    context.Context // ends when nothing is to be exported any more
	abandon context.CancelFunc

	waiting atomic.Int64 // spans in the queue and in the batch that is exported
	lost    atomic.Int64 // spans that were not complained of yet

	mu    sync.Mutex // held while it is logged; who ends a span never takes it
	quiet time.Time  // nothing is logged before
}

func newExporter(to sdk.SpanExporter, cfg Config) *exporter {
	x := &exporter{SpanExporter: to, logger: cfg.Logger, dropped: cfg.Dropped}
	x.life, x.abandon = context.WithCancel(context.Background())
	return x
}

// ExportSpans implements [sdk.SpanExporter].
func (x *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(x.life, cancel)()
	err := x.SpanExporter.ExportSpans(ctx, spans)
	x.waiting.Add(-int64(len(spans)))
	if err != nil {
		x.lose(len(spans))
	}
	x.complain(err)
	return nil
}

// lose counts spans that will not be exported.
func (x *exporter) lose(n int) {
	x.dropped(n)
	x.lost.Add(int64(n))
}

// complain logs what was lost, once in a while. Err is the last reason, nil when
// it is that the queue was full.
func (x *exporter) complain(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	if x.lost.Load() == 0 || now.Before(x.quiet) {
		return
	}
	why := "the collector is too slow"
	if err != nil {
		why = cut(err.Error())
	}
	x.logger.Warn("tracing: spans were not exported", "spans", x.lost.Swap(0), "error", why)
	x.quiet = now.Add(complainEvery)
}

// unsaid is the error that tells of what was lost and not logged.
func (x *exporter) unsaid() error {
	if n := x.lost.Swap(0); n > 0 {
		return fmt.Errorf("%d spans were not exported", n)
	}
	return nil
}

func cut(text string) string {
	if len(text) > maxComplaint {
		text = strings.ToValidUTF8(text[:maxComplaint], "") + "…"
	}
	return text
}

// bounded is the SDK's queue of spans, with a bound that counts what is over it.
// The queue has room for all that wait, and so never drops anything itself.
type bounded struct {
	exporter *exporter
	sdk.SpanProcessor
}

// OnEnd implements [sdk.SpanProcessor]. It never blocks.
func (b *bounded) OnEnd(s sdk.ReadOnlySpan) {
	if b.exporter.waiting.Add(1) > maxWaiting {
		b.exporter.waiting.Add(-1)
		b.exporter.lose(1)
		return
	}
	b.SpanProcessor.OnEnd(s)
}
