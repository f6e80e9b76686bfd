// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"time"

	"github.com/gatecast/gatecast/internal/api"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/internal/tracing"
)

// flushTimeout is how long the end of a node waits for its last spans to be exported.
const flushTimeout = 2 * time.Second

// startTracer starts the tracer if there is a collector.
func (n *Node) startTracer(context.Context) (err error) {
	if n.cfg.OTLPEndpoint == "" {
		return nil
	}
	n.tracer, err = tracing.Start(tracing.Config{
		Endpoint: n.cfg.OTLPEndpoint,
		Sample:   n.cfg.TraceSample,
		NodeID:   n.cfg.NodeID,
		Version:  n.cfg.Version,
		Logger:   n.cfg.Logger,
		Dropped:  func(spans int) { n.counts.SpansDropped.Add(float64(spans)) },
	})
	if err != nil {
		return settings.NewError("otlp-endpoint", err.Error())
	}
	n.onStop(n.stopTracer)
	return nil
}

func (n *Node) stopTracer() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := n.tracer.Close(ctx); err != nil {
		n.cfg.Logger.Warn("the last spans were not exported", "error", err)
	}
}

// apiTracer implements api.Tracer.
type apiTracer struct{ *tracing.Tracer }

// apiTracerOf returns nil for no tracer, not an interface with a nil pointer in it.
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
