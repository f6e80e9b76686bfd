// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"github.com/gatecast/gatecast/internal/event"

	"github.com/valyala/fasthttp"
)

// A Tracer makes spans of publishes. Any goroutine may call it.
type Tracer interface {
	// Publish starts the span of one publish. An empty parent starts a new
	// trace. It returns nil if the publish is not traced.
	Publish(parent event.Traceparent) Span
}

// A Span is the span of one publish. The append to the log is a child of it.
// One goroutine at a time uses it.
type Span interface {
	// Traceparent names the span; the event carries it.
	Traceparent() event.Traceparent
	// Append starts the child span, before the event is given to the log.
	Append(ev *event.Event, targets int)
	// Appended ends the child span: the log has the event. repeat means that it
	// had the event before.
	Appended(id event.Cursor, repeat bool)
	// End ends the span and, if it has not ended, its child. code is the error
	// code of the answer, empty for success.
	End(code string)
}

const headerTraceparent = "Traceparent"

// traceparent returns the header of a request. An invalid one, or more than
// one, is ignored (W3C Trace Context, section 4.3).
func traceparent(ctx *fasthttp.RequestCtx) event.Traceparent {
	all := ctx.Request.Header.PeekAll(headerTraceparent)
	if len(all) != 1 {
		return ""
	}
	parent, _ := event.ParseTraceparent(all[0])
	return parent
}

// startSpan starts the span of a publish and makes it the new parent. It
// returns nil and leaves parent if the publish is not traced.
func (s *Server) startSpan(parent *event.Traceparent) Span {
	if s.cfg.Tracer == nil {
		return nil
	}
	span := s.cfg.Tracer.Publish(*parent)
	if span != nil {
		*parent = span.Traceparent()
	}
	return span
}

// endSpan ends a span, which may be nil. err is a problem or nil.
func endSpan(span Span, err error) {
	switch {
	case span == nil:
	case err == nil:
		span.End("")
	default:
		span.End(requestProblem(err).code)
	}
}
