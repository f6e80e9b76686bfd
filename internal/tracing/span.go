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

// Names of span attributes. Dashboards use them, so they do not change.
const (
	attrID        = "gatecast.event.id"
	attrType      = "gatecast.event.type"
	attrKind      = "gatecast.target.kind" // gateway, gateways, group or all
	attrTargets   = "gatecast.targets"     // number of gateways that the event is for
	attrConnected = "gatecast.connected"   // number of these that have a connection
	attrRepeat    = "gatecast.repeat"      // the log already had the event
	attrError     = "error.type"           // error code of the answer
)

// A Publish is the span of one publish, with the append to the log as its
// child. One goroutine at a time uses it.
type Publish struct {
	tracer     *Tracer
	ctx        context.Context // carries span, as the parent of the child
	span       trace.Span
	appendSpan trace.Span // nil: not started, or ended
}

// Publish starts the span of a publish. Its parent is the publisher's span; an
// empty parent starts a new trace. It returns nil if the publish is not
// sampled.
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

// Append starts the child span. Call it before the event is given to the log;
// targets is the number of gateways.
func (p *Publish) Append(ev *event.Event, targets int) {
	about := describeEvent(ev.Type, ev.Target, targets)
	p.span.SetAttributes(about...)
	_, p.appendSpan = p.tracer.tracer.Start(p.ctx, "append", trace.WithAttributes(about...))
}

// Appended ends the child span: the log has the event. repeat means that it had
// the event before.
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

// End ends the span, and its child if that has not ended. code is the error
// code of the answer, empty for success.
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

// setError marks a span as failed.
func setError(span trace.Span, code string) {
	span.SetAttributes(attribute.String(attrError, code))
	span.SetStatus(codes.Error, code)
}

// A Delivery is the span of an event from the log to the shards. One goroutine
// uses it.
type Delivery struct{ span trace.Span }

// Deliver starts the span of an event that was read from the log. Its parent is
// the span in the event's body. It returns nil if the body has none or that is
// not sampled.
func (t *Tracer) Deliver(id event.Cursor, body []byte) *Delivery {
	parent := event.TraceparentOf(body)
	if parent == "" || !parent.Sampled() {
		return nil
	}
	_, span := t.tracer.Start(withParent(parent), "deliver",
		trace.WithAttributes(attribute.String(attrID, id.String())))
	return &Delivery{span}
}

// End ends the span. targets is the number of gateways the event is for,
// connected the number of these that have a connection.
func (d *Delivery) End(eventType string, t event.Target, targets, connected int) {
	d.span.SetAttributes(describeEvent(eventType, t, targets)...)
	d.span.SetAttributes(attribute.Int(attrConnected, connected))
	d.span.End()
}

// describeEvent returns the attributes that publish and delivery share.
func describeEvent(eventType string, t event.Target, targets int) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String(attrType, eventType),
		attribute.String(attrKind, targetKind(t)),
		attribute.Int(attrTargets, targets),
	}
}

// targetKind names the kind of a target.
func targetKind(t event.Target) string {
	switch {
	case t.All:
		return "all"
	case t.Group != "":
		return "group"
	case t.OrganizationID != "":
		return "organization"
	case len(t.GatewayIDs) == 1:
		return "gateway"
	default:
		return "gateways"
	}
}
