// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"io"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/valyala/fasthttp"
)

// showEvent is GET /events/{id}: the delivery status of an event.
func (s *Server) showEvent(ctx *fasthttp.RequestCtx) error {
	id, err := s.eventParam(ctx)
	if err != nil {
		return err
	}
	c, cancel := s.queryContext()
	defer cancel()
	// The event first: if retention removes it between the two calls, the
	// answer is 404 and not a status without an event.
	e, err := s.cfg.Events.Event(c, id)
	if err != nil {
		return eventProblem(id, err)
	}
	o, err := s.cfg.Events.DeliveryStatus(c, id)
	if err != nil {
		return eventProblem(id, err)
	}
	head := event.ReadHead(e.Body)
	at, _ := event.Published(e.Body)
	failed, pending := firstListed(o.FailedGateways), firstListed(o.PendingGateways)
	return answer(ctx, fasthttp.StatusOK, struct {
		ID              string    `json:"id"`
		Type            string    `json:"type"`
		Timestamp       timestamp `json:"timestamp"`
		CorrelationID   string    `json:"correlationId"`
		Targets         int       `json:"targets"`
		Delivered       int       `json:"delivered"`
		Acked           int       `json:"acked"`
		Failed          int       `json:"failed"`
		Pending         int       `json:"pending"`
		FailedGateways  []string  `json:"failedGateways"`
		PendingGateways []string  `json:"pendingGateways"`
		Truncated       bool      `json:"truncated"`
		NotAnswered     []string  `json:"notAnswered,omitempty"`
	}{
		id.String(), head.Type, timestamp(at), head.CorrelationID,
		o.Targets, o.Delivered, o.Acked, o.Failed, o.Pending,
		failed, pending, len(failed) < o.Failed || len(pending) < o.Pending, o.NotAnswered,
	})
}

// firstListed returns the gateway ids that an answer lists: at most
// [MaxListed].
func firstListed(gateways []string) []string {
	return nonNil(gateways[:min(len(gateways), MaxListed)])
}

// eventParam returns the event id in the path. The event is in the log's
// history, but may have left the log.
func (s *Server) eventParam(ctx *fasthttp.RequestCtx) (event.Cursor, error) {
	id, err := event.ParseCursor(pathParam(ctx, "id"))
	if err != nil {
		p := problemf(fasthttp.StatusBadRequest, codeBadRequest, "id: %v", err)
		p.field = "id"
		return event.Cursor{}, p
	}
	c, cancel := s.queryContext()
	defer cancel()
	switch ok, err := s.cfg.Events.Contains(c, id); {
	case err != nil:
		return event.Cursor{}, logProblem(err)
	case !ok || id.Seq == 0:
		return event.Cursor{}, eventProblem(id, ErrNotRetained)
	}
	return id, nil
}

// eventProblem is the answer for an event that cannot be shown.
func eventProblem(id event.Cursor, err error) *problem {
	if errors.Is(err, ErrNotRetained) {
		return notFound("event %v does not exist or is no longer retained", id)
	}
	return logProblem(err)
}

// logProblem is the answer when the log cannot be read.
func logProblem(err error) *problem {
	return unavailable("cannot read the event log: %v", err)
}

// queryPage is the default number of entries in a list that comes from the log,
// and how many events are in memory at once.
const queryPage = 100

// Bounds on a list of events, in bytes of their JSON. Each can be exceeded by
// the last event.
const (
	pageBytes   = 1 << 20 // in memory at once
	answerBytes = 4 << 20 // in one answer; its cursor continues after it
)

// listEvents is GET /events: the retained events, streamed.
func (s *Server) listEvents(ctx *fasthttp.RequestCtx) error {
	a := &eventsAnswer{s: s, remainingBytes: answerBytes}
	var err error
	if a.query, a.remaining, err = s.eventsQuery(ctx); err != nil {
		return err
	}
	if err := a.nextPage(); err != nil { // the status can still be an error
		return err
	}
	ctx.SetContentType(typeJSON)
	s.answerStream(ctx, a)
	return nil
}

// eventsQuery reads the parameters of a request for events.
func (s *Server) eventsQuery(ctx *fasthttp.RequestCtx) (q ListQuery, limit int, err error) {
	if q.GatewayID, err = nameParam(ctx, "gatewayId"); err != nil {
		return q, 0, err
	}
	if q.Type, err = typeParam(ctx); err != nil {
		return q, 0, err
	}
	if q.After, err = s.sinceParam(ctx); err != nil {
		return q, 0, err
	}
	if limit, err = limitParam(ctx, queryPage); err != nil {
		return q, 0, err
	}
	if q.GatewayID != "" && s.cfg.RevokeVerified == nil { // with --verify-url, any id may be a gateway's
		if _, ok := s.cfg.Registry.Get(q.GatewayID); !ok {
			return q, 0, unknownGateway(q.GatewayID)
		}
	}
	return q, limit, nil
}

// sinceParam returns the parameter "since"; zero if there is none.
func (s *Server) sinceParam(ctx *fasthttp.RequestCtx) (event.Cursor, error) {
	text, ok := param(ctx, "since")
	if !ok {
		return event.Cursor{}, nil
	}
	since, err := event.ParseCursor(text)
	if err != nil {
		return event.Cursor{}, badParam("since", err.Error())
	}
	c, cancel := s.queryContext()
	defer cancel()
	switch ok, err := s.cfg.Events.Contains(c, since); {
	case err != nil:
		return event.Cursor{}, logProblem(err)
	case !ok:
		return event.Cursor{}, badParam("since", "is not in the log's history: the log was replaced or has lost its newest events; leave it out to start at the oldest event")
	}
	return since, nil
}

// An eventsAnswer makes the JSON of a list of events, one page in memory at a
// time.
type eventsAnswer struct {
	s              *Server
	query          ListQuery // of the next page
	remaining      int       // events that may follow page
	remainingBytes int       // bytes of events that may follow page

	page    []Published // not yet in the answer
	more    bool        // there may be another page
	started bool        // the beginning of the JSON is in the answer
	written bool        // an event is in the answer, so a comma comes next
}

// nextPage gets the next page.
func (a *eventsAnswer) nextPage() (err error) {
	c, cancel := a.s.queryContext()
	defer cancel()
	// At least one event fits, whatever its size, so a page always advances.
	a.query.Limit, a.query.Bytes = min(a.remaining, queryPage), min(a.remainingBytes, pageBytes)
	if a.page, a.query.After, a.more, err = a.s.cfg.Events.List(c, a.query); err != nil {
		return logProblem(err)
	}
	a.remaining -= len(a.page)
	for i := range a.page {
		a.remainingBytes -= len(a.page[i].Body)
	}
	a.more = a.more && a.remaining > 0 && a.remainingBytes > 0
	return nil
}

// produce implements [producer].
func (a *eventsAnswer) produce(dst []byte) ([]byte, error) {
	if !a.started {
		a.started = true
		dst = append(dst, `{"events":[`...)
	}
	for i := range a.page {
		if a.written {
			dst = append(dst, ',')
		}
		a.written = true
		dst = appendEvent(dst, &a.page[i])
	}
	// The cursor is that of the last page read, also when its events were
	// filtered out.
	if !a.more {
		dst = append(dst, `],"cursor":"`...)
		dst = a.query.After.AppendText(dst)
		return append(dst, `"}`+"\n"...), io.EOF
	}
	if err := a.nextPage(); err != nil {
		a.s.cfg.Logger.Warn("internal listener: list of events was cut off", "error", err)
		return dst, err
	}
	return dst, nil
}

// Close implements [producer].
func (a *eventsAnswer) Close() error { return nil }

// appendEvent appends an event as gateways receive it, and adds its target and
// its key. Its envelope fields are in one object, as they were published: one
// of them can have the name of a member that is added here. The body ends with
// a brace, which moves to the end.
func appendEvent(dst []byte, p *Published) []byte {
	before, fields, after := event.CutFields(p.Body)
	dst = event.AppendWithID(dst, before, p.Cursor)
	dst = append(dst, after...)
	dst = dst[:len(dst)-len(`}`)]
	if len(fields) > 0 {
		dst = append(append(append(dst, `,"fields":{`...), fields...), '}')
	}
	switch t := p.Target; {
	case t.All:
		dst = append(dst, `,"all":true`...)
	case t.Group != "":
		dst = append(dst, `,"group":`...)
		dst = event.AppendString(dst, t.Group)
	case t.OrganizationID != "":
		dst = append(dst, `,"organizationId":`...)
		dst = event.AppendString(dst, t.OrganizationID)
	case len(t.GatewayIDs) > 1: // the body already has a single gatewayId
		dst = appendStrings(append(dst, `,"gatewayIds":`...), t.GatewayIDs)
	}
	if p.Key != "" {
		dst = append(dst, `,"key":`...)
		dst = event.AppendString(dst, p.Key)
	}
	return append(dst, '}')
}

// appendStrings appends a JSON array of strings.
func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = event.AppendString(dst, v)
	}
	return append(dst, ']')
}
