// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package tracing makes the spans of events and exports them over OTLP/HTTP
// with the SDK of OpenTelemetry. A publish has the span "publish" with the
// child "append"; an event that is read from the log has the span "deliver". It
// is the only package that imports OpenTelemetry, and uses none of its global
// state.
//
// A publish is traced if its traceparent is sampled or, without one, by the
// sample ratio in [Config]. A publish that is not traced costs only this
// decision.
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
	maxQueued     = 8192             // spans that wait to be exported
	batchSpans    = 512              // spans in one request
	batchDelay    = time.Second      // how long a span waits for others
	exportTimeout = 10 * time.Second // for a batch, including retries
)

// Config configures a [Tracer]. All fields are required except Dropped.
type Config struct {
	Endpoint string  // base URL of the collector; spans are posted to /v1/traces below it
	Sample   float64 // ratio of publishes without a traceparent that are traced, 0 to 1
	NodeID   string
	Version  string // of the program
	Logger   *slog.Logger
	// Dropped is called with the number of spans that could not be exported, by
	// any goroutine. It must not block. Nil: not counted.
	Dropped func(spans int)
}

// A Tracer makes and exports spans. Any goroutine may call it. Close it at the
// end.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	exporter *exporter
	conns    *http.Transport
}

// Start starts a tracer. It does not connect to the collector.
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

// resourceOf describes the process that makes the spans.
// OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME have precedence.
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

// Close exports the remaining spans until ctx ends, and frees all resources.
// Spans that end later are dropped.
func (t *Tracer) Close(ctx context.Context) error {
	err := t.provider.Shutdown(ctx)
	t.exporter.cancel()
	t.conns.CloseIdleConnections()
	return errors.Join(err, t.exporter.unreportedError())
}

// withParent returns a context with the span that p names as parent, or without
// one if p is empty.
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

// traceparentOf returns the traceparent of a sampled span.
func traceparentOf(span trace.Span) event.Traceparent {
	c := span.SpanContext()
	p, ok := event.ParseTraceparent([]byte("00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-01"))
	if !ok {
		panic("BUG: a span without a valid traceparent")
	}
	return p
}
