// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
)

// publish is POST /events: one event, or newline-delimited JSON of many.
func (s *Server) publish(ctx *fasthttp.RequestCtx) error {
	key, err := publishKeyOf(ctx)
	var mediaType string
	if err == nil {
		mediaType, err = bodyType(ctx, typeJSON, typeNDJSON)
	}
	parent := traceparent(ctx)
	if err == nil && mediaType == typeNDJSON {
		s.publishBulk(ctx, key, parent)
		return nil
	}
	if err == nil {
		err = s.withBody(ctx, func(body []byte) error { return s.publishOne(ctx, body, key, parent) })
	}
	if p, ok := errors.AsType[*problem](err); ok {
		s.cfg.Node.RejectedPublishes.WithLabelValues(p.code).Inc()
	}
	return err
}

func (s *Server) publishOne(ctx *fasthttp.RequestCtx, text []byte, key publishKey, parent event.Traceparent) error {
	p, err := s.submit(text, key.single(), parent)
	if err != nil {
		return err
	}
	r, err := s.await(&p)
	if err != nil {
		return err
	}
	a := auditOf(ctx)
	a.add("event", r.id, "targets", r.targets, "correlationId", r.correlationID)
	if p.event != nil { // else it was published before
		a.add("type", p.event.Type)
	}
	answerJSON(ctx, fasthttp.StatusAccepted, r.appendTo(make([]byte, 0, 256)))
	return nil
}

// A submission is an event that was given to the log, and is to be settled.
type submission struct {
	event   *event.Event
	receipt receipt // without its id, while there is a pending
	digest  string  // of the publisher's text, when it has a key
	pending Pending // nil: it was published before, and this is the receipt
	at      time.Time
	span    Span // nil: it is not traced
}

// submit gives an event of a publisher's text to the log, unless its key was
// used before; key is empty for none. It keeps nothing of the text. An error is a
// problem.
func (s *Server) submit(text []byte, key string, parent event.Traceparent) (submission, error) {
	digest := ""
	if key != "" {
		digest = digestOf(text)
		if k, ok := s.receipts.find(key, s.cfg.Now()); ok && !s.rolledBack(k.id) {
			return submission{receipt: k.receipt}, k.check(digest)
		}
	}
	span := s.startSpan(&parent)
	p, err := s.submitNew(text, key, digest, parent, span)
	if err != nil {
		endSpan(span, err)
	}
	return p, err
}

// lost reports whether the log does not have an event that it had, because it went
// back: then its receipt is worth nothing. While the log is out of reach it is not
// taken for lost.
func (s *Server) rolledBack(id event.Cursor) bool {
	c, cancel := s.queryContext()
	defer cancel()
	ok, err := s.cfg.Events.Contains(c, id)
	return err == nil && !ok
}

// submitNew is submit of what was not published before; span may be nil.
func (s *Server) submitNew(text []byte, key, digest string, parent event.Traceparent, span Span) (submission, error) {
	a, err := s.prepare(text, parent)
	if err != nil {
		return submission{}, err
	}
	if !s.gate.enter() {
		return submission{}, drainingProblem()
	}
	begun := false
	defer func() {
		if !begun { // also when the log panics: a drain would wait for it
			s.gate.leave()
		}
	}()
	if key != "" {
		a.event.IdempotencyKey, a.event.Receipt = key, a.receipt.encodeLogged(digest)
	}
	at := time.Now()
	if span != nil {
		span.Append(a.event, a.receipt.targets)
	}
	p, err := s.cfg.Log.AppendAsync(a.event, a.body)
	if err != nil {
		return submission{}, appendProblem(err)
	}
	begun = true
	return submission{a.event, a.receipt, digest, p, at, span}, nil
}

// An admitted event is one that is ready for the log.
type prepared struct {
	event   *event.Event
	body    []byte  // its JSON
	receipt receipt // without its id
}

// admit makes an event of a publisher's text, unless something is wrong with
// it. It keeps nothing of the text.
func (s *Server) prepare(text []byte, parent event.Traceparent) (prepared, error) {
	d, err := event.ParseDraft(text)
	if err != nil {
		return prepared{}, draftProblem(err)
	}
	ev, err := d.Event(s.cfg.Now(), uuid.NewString)
	if err != nil {
		return prepared{}, draftProblem(err)
	}
	if s.cfg.Types != nil {
		if wrong := s.cfg.Types.Check(ev.Type, ev.Payload); wrong != nil {
			return prepared{}, draftProblem(wrong)
		}
	}
	ev.Traceparent = parent
	body := ev.AppendBody(make([]byte, 0, len(ev.Payload)+len(parent)+256))
	if len(body) > s.cfg.MaxPayload && parent != "" { // a trace is no reason to refuse it
		ev.Traceparent = ""
		body = ev.AppendBody(body[:0])
	}
	if len(body) > s.cfg.MaxPayload {
		return prepared{}, tooLarge("the event is %d bytes of JSON; want at most %d", len(body), s.cfg.MaxPayload)
	}
	targets, connected, unknown := s.cfg.Registry.Reach(ev.Target)
	if unknown != "" { // another node may have registered it just now
		if err := s.catchUp(); err != nil {
			return prepared{}, unavailable("whether there is a gateway %s cannot be known now: %v", unknown, err)
		}
		targets, connected, unknown = s.cfg.Registry.Reach(ev.Target)
	}
	if unknown != "" {
		return prepared{}, notFound("there is no gateway %s; nothing was published", unknown)
	}
	return prepared{ev, body, receipt{
		correlationID: ev.CorrelationID, timestamp: ev.Timestamp, targets: targets, connected: connected,
	}}, nil
}

// settle returns a submission's receipt when the log has the event. It is to be
// called once. An error is a problem.
func (s *Server) await(p *submission) (receipt, error) {
	if p.pending == nil {
		return p.receipt, nil
	}
	defer s.gate.leave()
	r, err := s.confirm(p)
	endSpan(p.span, err)
	return r, err
}

// confirmed returns the receipt of an event when the log has it.
func (s *Server) confirm(p *submission) (receipt, error) {
	id, err := p.pending.Wait(s.ctx)
	if err != nil {
		return receipt{}, appendProblem(err)
	}
	if p.span != nil {
		p.span.Appended(id, p.pending.Duplicate())
	}
	k := keyedReceipt{key: p.event.IdempotencyKey, digest: p.digest, receipt: p.receipt.withID(id)}
	if !p.pending.Duplicate() {
		s.recordPublish(p.event, &k.receipt, p.at)
	} else if k, err = s.firstPublish(k); err != nil {
		return receipt{}, err
	}
	if k.key == "" {
		return k.receipt, nil
	}
	k = s.receipts.add(k, s.cfg.Now())
	return k.receipt, k.check(p.digest)
}

// firstOf returns the first publish with the key of a repeat, which names the first's
// id. It was published a moment ago, before a restart, by another node, or by one of
// very many, and its receipt stands with it in the log. Of an event that has left
// the log nothing is known but what the repeat says.
func (s *Server) firstPublish(repeat keyedReceipt) (keyedReceipt, error) {
	c, cancel := s.queryContext()
	defer cancel()
	e, err := s.cfg.Events.Event(c, repeat.id)
	if errors.Is(err, ErrNotRetained) {
		return repeat, nil
	}
	if err != nil {
		return repeat, appendProblem(fmt.Errorf("it was published before, as %v, but cannot be read: %w", repeat.id, err))
	}
	first := keyedReceipt{key: repeat.key}
	first.id = repeat.id
	first.timestamp, _ = event.Published(e.Body)
	first.correlationID = event.ReadHead(e.Body).CorrelationID
	if first.decodeLogged(e.Receipt) != nil { // it was published by a version that kept none
		first.digest = repeat.digest
		first.targets, first.connected, _ = s.cfg.Registry.Reach(e.Target)
	}
	return first, nil
}

func (s *Server) catchUp() error {
	ctx, cancel := s.queryContext()
	defer cancel()
	return s.cfg.Registry.CatchUp(ctx)
}

// query returns the context of a look into the log.
func (s *Server) queryContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.ctx, s.limits.query)
}

// taken counts an event that the log has, and tells of the gateways that it did
// not reach.
func (s *Server) recordPublish(ev *event.Event, r *receipt, began time.Time) {
	s.cfg.Node.LogAppendSeconds.Observe(time.Since(began).Seconds())
	s.cfg.Node.Published(ev.Type)
	if s.cfg.Missed == nil || r.targets <= r.connected {
		return
	}
	gateways, total := s.cfg.Registry.Disconnected(ev.Target, MaxListed)
	if total == 0 { // they have come meanwhile
		return
	}
	s.cfg.Missed(Missed{
		ID: r.id, Type: ev.Type, CorrelationID: ev.CorrelationID, At: s.cfg.Now(),
		Gateways: gateways, Total: total,
	})
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
	if errors.Is(err, event.ErrTooLarge) {
		return tooLarge("%v", err)
	}
	return unavailable("the event log did not confirm the event, publish it again: %v", err)
}
