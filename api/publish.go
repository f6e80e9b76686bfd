// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"gatecast/event"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
)

// publish is POST /events: one event, or newline-delimited JSON of many.
func (s *Server) publish(ctx *fasthttp.RequestCtx) error {
	mediaType, _, _ := bytes.Cut(ctx.Request.Header.ContentType(), []byte(";"))
	if bytes.EqualFold(bytes.TrimSpace(mediaType), []byte(typeNDJSON)) {
		s.publishMany(ctx)
		return nil
	}
	err := s.withBody(ctx, func(body []byte) error { return s.publishOne(ctx, body) })
	if p, ok := errors.AsType[*problem](err); ok {
		s.cfg.Node.RejectedPublishes.WithLabelValues(p.code).Inc()
	}
	return err
}

func (s *Server) publishOne(ctx *fasthttp.RequestCtx, text []byte) error {
	a, err := s.admit(text)
	if err != nil {
		return err
	}
	if !s.gate.enter() {
		return drainingProblem()
	}
	defer s.gate.leave()
	cursor, err := s.cfg.Log.Append(s.ctx, a.event, a.body)
	if err != nil {
		return appendProblem(err)
	}
	s.taken(&a)
	answerJSON(ctx, fasthttp.StatusAccepted, a.appendReceipt(make([]byte, 0, 256), cursor))
	return nil
}

// An admitted event is one that is ready for the log.
type admitted struct {
	event     *event.Event
	body      []byte // its JSON
	targets   int    // gateways it is for
	connected int    // of them, those that have a connection
	at        time.Time
}

// admit makes an event of a publisher's text, unless something is wrong with
// it. It keeps nothing of the text.
func (s *Server) admit(text []byte) (admitted, error) {
	d, err := event.ParseDraft(text)
	if err != nil {
		return admitted{}, draftProblem(err)
	}
	ev, err := d.Event(s.cfg.Now(), uuid.NewString)
	if err != nil {
		return admitted{}, draftProblem(err)
	}
	body := ev.AppendBody(make([]byte, 0, len(ev.Payload)+256))
	if len(body) > s.cfg.MaxPayload {
		return admitted{}, tooLarge("the event is %d bytes of JSON; want at most %d", len(body), s.cfg.MaxPayload)
	}
	targets, connected, unknown := s.cfg.Registry.Reach(ev.Target)
	if unknown != "" {
		return admitted{}, notFound("there is no gateway %s; nothing was published", unknown)
	}
	return admitted{ev, body, targets, connected, time.Now()}, nil
}

// taken counts an event that the log has.
func (s *Server) taken(a *admitted) {
	s.cfg.Node.LogAppendSeconds.Observe(time.Since(a.at).Seconds())
	s.cfg.Node.Published(a.event.Type)
}

// appendReceipt appends what the publisher is told of its event.
func (a *admitted) appendReceipt(dst []byte, id event.Cursor) []byte {
	dst = append(dst, `{"id":"`...)
	dst = id.AppendText(dst)
	dst = append(dst, `","correlationId":`...)
	dst = event.AppendString(dst, a.event.CorrelationID)
	dst = append(dst, `,"timestamp":`...)
	dst = event.AppendTime(dst, a.event.Timestamp)
	dst = append(dst, `,"targets":`...)
	dst = strconv.AppendInt(dst, int64(a.targets), 10)
	dst = append(dst, `,"connected":`...)
	dst = strconv.AppendInt(dst, int64(a.connected), 10)
	return append(dst, '}')
}

func draftProblem(err error) *problem {
	if f, ok := errors.AsType[*event.FieldError](err); ok {
		return invalid(codeInvalidEvent, f)
	}
	return requestProblem(err)
}

// appendProblem is the problem with an event that the log has not confirmed. It
// may have it all the same, if it was the answer that got lost.
func appendProblem(err error) *problem {
	return unavailable("the event log did not confirm the event, publish it again: %v", err)
}
