// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"

	"github.com/gatecast/gatecast/internal/event"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Names of attributes.
const (
	attrID        = "gatecast.event.id"
	attrType      = "gatecast.event.type"
	attrKind      = "gatecast.target.kind" // gateway, gateways, group or all
	attrTargets   = "gatecast.targets"     // gateways the event is for
	attrConnected = "gatecast.connected"   // of them, those that have a connection
	attrRepeat    = "gatecast.repeat"      // the log had the event before
	attrError     = "error.type"           // the code of the answer
)

// A Publish is the span of a publish, and from Append on the one of the append
// below it. One goroutine at a time uses it.
type Publish struct {
	tracer     *Tracer
	ctx        context.Context // with span in it
	span       trace.Span
	appendSpan trace.Span // nil: there is none, or it has ended
}

// Publish begins the span of a publish, below the publisher's own unless parent
// is empty. It returns nil for one that is not traced.
func (t *Tracer) Publish(parent event.Traceparent) *Publish {
	if parent != "" && !parent.Sampled() {
		return nil
	}
	ctx, span := t.tracer.Start(withParent(parent), "publish", trace.WithSpanKind(trace.SpanKindServer))
	if !span.IsRecording() {
		return nil
	}
	return &Publish{tracer: t, ctx: ctx, span: span}
}

// Traceparent names the span.
func (p *Publish) Traceparent() event.Traceparent { return traceparentOf(p.span) }

// Append says that the event is about to be given to the log, and how many
// gateways it is for.
func (p *Publish) Append(ev *event.Event, targets int) {
	about := describeEvent(ev.Type, ev.Target, targets)
	p.span.SetAttributes(about...)
	_, p.appendSpan = p.tracer.tracer.Start(p.ctx, "append", trace.WithAttributes(about...))
}

// Appended says that the log has the event, and whether it had it before.
func (p *Publish) Appended(id event.Cursor, repeat bool) {
	about := []attribute.KeyValue{attribute.String(attrID, id.String())}
	if repeat {
		about = append(about, attribute.Bool(attrRepeat, true))
	}
	p.span.SetAttributes(about...)
	p.appendSpan.SetAttributes(about...)
	p.appendSpan.End()
	p.appendSpan = nil
}

// End ends the span; code is the error that the publisher is answered, empty for
// none.
func (p *Publish) End(code string) {
	if p.appendSpan != nil {
		setError(p.appendSpan, code)
		p.appendSpan.End()
	}
	if code != "" {
		setError(p.span, code)
	}
	p.span.End()
}

func setError(span trace.Span, code string) {
	span.SetAttributes(attribute.String(attrError, code))
	span.SetStatus(codes.Error, code)
}

// A Delivery is the span of an event's way from the log to the shards.
type Delivery struct{ span trace.Span }

// Deliver begins the span of an event that the log tells, below the span that the
// body names. It returns nil when that names none or one that is not sampled.
func (t *Tracer) Deliver(id event.Cursor, body []byte) *Delivery {
	parent := event.TraceparentOf(body)
	if parent == "" || !parent.Sampled() {
		return nil
	}
	_, span := t.tracer.Start(withParent(parent), "deliver",
		trace.WithAttributes(attribute.String(attrID, id.String())))
	return &Delivery{span}
}

// End ends the span. The counts are of gateways the event is for, and of those of
// them that have a connection.
func (d *Delivery) End(eventType string, t event.Target, targets, connected int) {
	d.span.SetAttributes(describeEvent(eventType, t, targets)...)
	d.span.SetAttributes(attribute.Int(attrConnected, connected))
	d.span.End()
}

func describeEvent(eventType string, t event.Target, targets int) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String(attrType, eventType),
		attribute.String(attrKind, targetKind(t)),
		attribute.Int(attrTargets, targets),
	}
}

func targetKind(t event.Target) string {
	switch {
	case t.All:
		return "all"
	case t.Group != "":
		return "group"
	case len(t.GatewayIDs) == 1:
		return "gateway"
	default:
		return "gateways"
	}
}
