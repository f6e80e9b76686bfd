// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package tracing makes the spans of events and exports them with OpenTelemetry's
// SDK over OTLP and HTTP: publish, with append below it, and deliver. It is the
// only package that knows OpenTelemetry, and touches nothing global of it.
//
// A publish is traced when its traceparent is sampled, or, without one, as often
// as [Config] says. What is not traced costs no more than finding that out.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	maxQueued     = 8192             // spans that are not exported yet, at most
	batchSpans    = 512              // in one request, at most
	batchDelay    = time.Second      // how long a span waits for others
	exportTimeout = 10 * time.Second // for a batch, with what is tried again
)

// Config is what a [Tracer] is told. All of it is required but Dropped.
type Config struct {
	Endpoint string  // base URL of a collector; /v1/traces is behind it
	Sample   float64 // the part of publishes without a traceparent that is traced, 0 to 1
	NodeID   string
	Version  string // the program's
	Logger   *slog.Logger
	// Dropped is called with the number of spans that were not exported, by any
	// goroutine. It must not block.
	Dropped func(spans int)
}

// A Tracer makes and exports spans. Any goroutine may use it.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	exporter *exporter
	conns    *http.Transport
}

// Start starts a tracer. It does not try to reach the collector.
func Start(cfg Config) (*Tracer, error) {
	if cfg.Dropped == nil {
		cfg.Dropped = func(int) {}
	}
	conns := http.DefaultTransport.(*http.Transport).Clone()
	otlp, err := otlptracehttp.New(context.Background(),
		otlptracehttp.WithEndpointURL(cfg.Endpoint),
		otlptracehttp.WithURLPath(tracesPath(cfg.Endpoint)),
		otlptracehttp.WithHTTPClient(&http.Client{Transport: conns, Timeout: exportTimeout}),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: 500 * time.Millisecond, MaxInterval: 2 * time.Second, MaxElapsedTime: exportTimeout,
		}),
	)
	if err != nil {
		return nil, err
	}
	about, err := resourceOf(cfg)
	if err != nil {
		_ = otlp.Shutdown(context.Background())
		return nil, err
	}
	x := newExporter(otlp, cfg)
	provider := sdk.NewTracerProvider(
		sdk.WithResource(about),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(cfg.Sample))),
		sdk.WithSpanProcessor(&boundedQueue{x, sdk.NewBatchSpanProcessor(x,
			sdk.WithMaxQueueSize(maxQueued), sdk.WithMaxExportBatchSize(batchSpans),
			sdk.WithBatchTimeout(batchDelay), sdk.WithExportTimeout(exportTimeout),
		)}),
	)
	return &Tracer{
		provider: provider, exporter: x, conns: conns,
		tracer: provider.Tracer("gatecast", trace.WithInstrumentationVersion(cfg.Version)),
	}, nil
}

// describe says who makes the spans. OTEL_RESOURCE_ATTRIBUTES and
// OTEL_SERVICE_NAME have the last word.
func resourceOf(cfg Config) (*resource.Resource, error) {
	r, err := resource.New(context.Background(),
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.name", "gatecast"),
			attribute.String("service.version", cfg.Version),
			attribute.String("service.instance.id", cfg.NodeID),
		),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return r, nil
}

// Close exports what is left, until ctx ends, and frees everything. Spans that end
// later are not exported.
func (t *Tracer) Close(ctx context.Context) error {
	err := t.provider.Shutdown(ctx)
	t.exporter.cancel()
	t.conns.CloseIdleConnections()
	return errors.Join(err, t.exporter.unreportedError())
}

// below returns a context in which the span that p names is the parent. Without p
// there is none.
func withParent(p event.Traceparent) context.Context {
	ctx := context.Background()
	if p == "" {
		return ctx
	}
	// Neither fails: p is valid.
	traceID, _ := trace.TraceIDFromHex(p.TraceID())
	spanID, _ := trace.SpanIDFromHex(p.SpanID())
	var flags trace.TraceFlags
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: flags.WithSampled(p.Sampled()), Remote: true,
	}))
}

// traceparentOf names a span that is sampled.
func traceparentOf(span trace.Span) event.Traceparent {
	c := span.SpanContext()
	p, ok := event.ParseTraceparent([]byte("00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-01"))
	if !ok {
		panic("BUG: a span without a name")
	}
	return p
}
