// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/gatecast/gatecast/internal/settings"

	"context"
	"log/slog"
	"time"

	"github.com/gatecast/gatecast/internal/api"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/tracing"
	"github.com/gatecast/gatecast/stats/metrics"
)

// flushTimeout is how long the end of a node may take for spans that are left.
const flushTimeout = 2 * time.Second

// startTracer returns nil when nothing is to be traced.
func startTracer(cfg Config, counts *metrics.Node) (*tracing.Tracer, error) {
	if cfg.OTLPEndpoint == "" {
		return nil, nil
	}
	t, err := tracing.Start(tracing.Config{
		Endpoint: cfg.OTLPEndpoint,
		Sample:   cfg.TraceSample,
		NodeID:   cfg.NodeID,
		Version:  cfg.Version,
		Logger:   cfg.Logger,
		Dropped:  func(spans int) { counts.SpansDropped.Add(float64(spans)) },
	})
	if err != nil {
		return nil, settings.NewError("otlp-endpoint", err.Error())
	}
	return t, nil
}

func stopTracer(t *tracing.Tracer, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		logger.Warn("the last spans were not exported", "error", err)
	}
}

// apiTracer is the tracer as the api wants it.
type apiTracer struct{ *tracing.Tracer }

// apiTracerOf returns nil, and not one that is nil inside, for no tracer.
func apiTracerOf(t *tracing.Tracer) api.Tracer {
	if t == nil {
		return nil
	}
	return apiTracer{t}
}

func (t apiTracer) Publish(parent event.Traceparent) api.Span {
	if p := t.Tracer.Publish(parent); p != nil {
		return p
	}
	return nil
}

// dispatchTraced is dispatch of a new event, with a span of it if its publish has
// one. The span ends when every shard has the event in its inbox: what the loops
// do with it they tell nobody event by event.
func (n *Node) dispatchTraced(e eventlog.Entry) {
	span := n.tracer.Deliver(e.Cursor, e.Body)
	n.router.Dispatch(e.Target, n.liveMessage(e))
	if span != nil {
		targets, connected, _ := n.registry.Reach(e.Target)
		span.End(event.TypeOf(e.Body), e.Target, targets, connected)
	}
}
