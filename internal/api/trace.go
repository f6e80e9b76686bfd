// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"github.com/gatecast/gatecast/internal/event"

	"github.com/valyala/fasthttp"
)

// A Tracer makes the spans of publishes. Any goroutine may use it.
type Tracer interface {
	// Publish begins the span of one event's publish, below the publisher's own if
	// that is named. It returns nil for one that is not to be traced.
	Publish(parent event.Traceparent) Span
}

// A Span is that of a publish, with the append to the log as a span below it. One
// goroutine at a time uses it.
type Span interface {
	// Traceparent names the span, for the event to take along.
	Traceparent() event.Traceparent
	// Append says that the event is about to be given to the log, which is for so
	// many gateways.
	Append(ev *event.Event, targets int)
	// Appended says that the log has the event, and whether it had it before.
	Appended(id event.Cursor, repeat bool)
	// End ends the span, and that of the append. The code is that of the error that
	// the publisher is answered, empty for none.
	End(code string)
}

const headerTraceparent = "Traceparent"

// traceparent returns the request's. One that is not valid, or comes more than
// once, is ignored, as W3C Trace Context says (section 4.3).
func traceparent(ctx *fasthttp.RequestCtx) event.Traceparent {
	all := ctx.Request.Header.PeekAll(headerTraceparent)
	if len(all) != 1 {
		return ""
	}
	parent, _ := event.ParseTraceparent(all[0])
	return parent
}

// begin begins the span of a publish, and makes it the parent of what follows. It
// returns nil, and the parent stays, when the publish is not traced.
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

// end ends a span, if there is one. An error is a problem.
func endSpan(span Span, err error) {
	switch {
	case span == nil:
	case err == nil:
		span.End("")
	default:
		span.End(requestProblem(err).code)
	}
}
