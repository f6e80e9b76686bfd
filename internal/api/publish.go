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

// publish is POST /events: one event as JSON, or many as newline-delimited
// JSON.
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

// publishOne publishes one event and answers with its receipt.
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
	if p.event != nil { // nil: a repeat, published before
		a.add("type", p.event.Type)
	}
	answerJSON(ctx, fasthttp.StatusAccepted, r.appendTo(make([]byte, 0, 256)))
	return nil
}

// A submission is an event that was given to the log and whose result is
// pending. Pass it to await exactly once.
type submission struct {
	event   *event.Event
	receipt receipt   // without the id as long as pending is not nil
	digest  string    // of the publisher's text; empty without an idempotency key
	pending Pending   // nil: the event was published before, and receipt is complete
	at      time.Time // when the append started
	span    Span      // nil: not traced
}

// submit gives the event in text to the log, unless a publish with the same key
// is remembered. An empty key means none. It keeps no reference to text. The
// error is a problem.
func (s *Server) submit(text []byte, key string, parent event.Traceparent) (submission, error) {
	// A repeat that this node remembers needs neither the log nor a valid
	// event: also while the node drains or the log is unreachable it gets its
	// receipt.
	digest := ""
	if key != "" {
		digest = digestOf(text)
		if k, ok := s.receipts.find(key, s.cfg.Now()); ok && !s.rolledBack(k.id) {
			return submission{receipt: k.receipt}, k.check(digest)
		}
	}
	// The span begins before the event is parsed, so that refused publishes are
	// traced too.
	span := s.startSpan(&parent)
	p, err := s.submitNew(text, key, digest, parent, span)
	if err != nil {
		endSpan(span, err)
	}
	return p, err
}

// rolledBack reports whether the log no longer contains an event that it had
// confirmed: the log went back to an earlier state. The receipt of such an
// event is invalid. An unreachable log counts as not rolled back.
func (s *Server) rolledBack(id event.Cursor) bool {
	c, cancel := s.queryContext()
	defer cancel()
	ok, err := s.cfg.Events.Contains(c, id)
	return err == nil && !ok
}

// submitNew is submit for a key that is not remembered. The span may be nil.
func (s *Server) submitNew(text []byte, key, digest string, parent event.Traceparent, span Span) (submission, error) {
	a, err := s.prepare(text, parent)
	if err != nil {
		return submission{}, err
	}
	if !s.gate.enter() {
		return submission{}, drainingProblem()
	}
	appending := false
	defer func() {
		if !appending { // also when the log panics: StopPublishing would wait forever
			s.gate.leave()
		}
	}()
	// The log compares keys across nodes and restarts, and stores the receipt
	// for later duplicates.
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
	appending = true
	return submission{a.event, a.receipt, digest, p, at, span}, nil
}

// A prepared event is ready for the log.
type prepared struct {
	event   *event.Event
	body    []byte  // the JSON of the event without its id
	receipt receipt // without the id
}

// prepare parses and checks the event in text. It keeps no reference to text.
// The error is a problem or an error of the request.
func (s *Server) prepare(text []byte, parent event.Traceparent) (prepared, error) {
	d, err := event.ParseDraft(text)
	if err != nil {
		return prepared{}, draftProblem(err)
	}
	// The id is missing: the log assigns it. Everything else of the event is
	// final, and its JSON is made once, here.
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
	if len(body) > s.cfg.MaxPayload && parent != "" { // an event is not refused because of its trace
		ev.Traceparent = ""
		body = ev.AppendBody(body[:0])
	}
	if len(body) > s.cfg.MaxPayload {
		return prepared{}, tooLarge("the event has %d bytes of JSON; the limit is %d (--max-payload)", len(body), s.cfg.MaxPayload)
	}
	// Counted before the append: a gateway that registers later is no target,
	// because its events start at its registration.
	targets, connected, unknown := s.cfg.Registry.Reach(ev.Target)
	if unknown != "" { // another node may have registered the gateway a moment ago
		if err := s.catchUp(); err != nil {
			return prepared{}, unavailable("cannot establish whether gateway %s is registered: %v", unknown, err)
		}
		targets, connected, unknown = s.cfg.Registry.Reach(ev.Target)
	}
	if unknown != "" {
		return prepared{}, notFound("gateway %s is not registered; nothing was published", unknown)
	}
	return prepared{ev, body, receipt{
		correlationID: ev.CorrelationID, timestamp: ev.Timestamp, targets: targets, connected: connected,
	}}, nil
}

// await waits until the log has the event, and returns its receipt. Call it
// once for each submission: it opens the way through the publish gate. The
// error is a problem.
func (s *Server) await(p *submission) (receipt, error) {
	if p.pending == nil {
		return p.receipt, nil
	}
	defer s.gate.leave()
	r, err := s.confirm(p)
	endSpan(p.span, err)
	return r, err
}

// confirm waits for the append and returns the receipt. For a duplicate that is
// the first publish's receipt.
func (s *Server) confirm(p *submission) (receipt, error) {
	id, err := p.pending.Wait(s.ctx)
	if err != nil {
		return receipt{}, appendProblem(err)
	}
	if p.span != nil {
		p.span.Appended(id, p.pending.Duplicate())
	}
	// A duplicate is not counted, and reports no missed gateways: the first
	// publish did both.
	k := keyedReceipt{key: p.event.IdempotencyKey, digest: p.digest, receipt: p.receipt.withID(id)}
	if !p.pending.Duplicate() {
		s.recordPublish(p.event, &k.receipt, p.at)
	} else if k, err = s.firstPublish(k); err != nil {
		return receipt{}, err
	}
	if k.key == "" {
		return k.receipt, nil
	}
	// add can return the receipt of a concurrent publish with the same key.
	k = s.receipts.add(k, s.cfg.Now())
	return k.receipt, k.check(p.digest)
}

// firstPublish returns the receipt of the first publish with the key of a
// duplicate. The duplicate knows that event's id. The first publish is not in
// memory: it happened a moment ago, before a restart, on another node, or was
// evicted. The log keeps its receipt with the event. If the event has left the
// log, the duplicate's own data is all there is.
func (s *Server) firstPublish(repeat keyedReceipt) (keyedReceipt, error) {
	c, cancel := s.queryContext()
	defer cancel()
	e, err := s.cfg.Events.Event(c, repeat.id)
	if errors.Is(err, ErrNotRetained) {
		return repeat, nil
	}
	if err != nil {
		return repeat, appendProblem(fmt.Errorf("cannot read event %v, which has the same idempotency key: %w", repeat.id, err))
	}
	first := keyedReceipt{key: repeat.key}
	first.id = repeat.id
	first.timestamp, _ = event.Published(e.Body)
	first.correlationID = event.ReadHead(e.Body).CorrelationID
	if first.decodeLogged(e.Receipt) != nil { // stored by a version that kept no receipt
		first.digest = repeat.digest
		first.targets, first.connected, _ = s.cfg.Registry.Reach(e.Target)
	}
	return first, nil
}

// catchUp waits until the registry knows all changes that were made before.
func (s *Server) catchUp() error {
	ctx, cancel := s.queryContext()
	defer cancel()
	return s.cfg.Registry.CatchUp(ctx)
}

// queryContext returns the context for a query of the log.
func (s *Server) queryContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.ctx, s.limits.query)
}

// recordPublish counts a stored event, and reports the gateways that have no
// connection for it.
func (s *Server) recordPublish(ev *event.Event, r *receipt, start time.Time) {
	s.cfg.Node.LogAppendSeconds.Observe(time.Since(start).Seconds())
	s.cfg.Node.Published(ev.Type)
	// The common case first: every target is connected, and the registry need
	// not be searched.
	if s.cfg.Missed == nil || r.targets <= r.connected {
		return
	}
	gateways, total := s.cfg.Registry.Disconnected(ev.Target, MaxListed)
	if total == 0 { // they have connected in the meantime
		return
	}
	s.cfg.Missed(Missed{
		ID: r.id, Type: ev.Type, CorrelationID: ev.CorrelationID, At: s.cfg.Now(),
		Gateways: gateways, Total: total,
	})
}

// draftProblem is the answer to an event that cannot be published as it is.
func draftProblem(err error) *problem {
	if f, ok := errors.AsType[*event.FieldError](err); ok {
		return invalid(codeInvalidEvent, f)
	}
	return requestProblem(err)
}

// appendProblem is the answer when the log has not confirmed an event. The log
// may have the event nevertheless, if only its answer was lost; an idempotency
// key makes the repeat safe.
func appendProblem(err error) *problem {
	if errors.Is(err, event.ErrTooLarge) {
		return tooLarge("%v", err)
	}
	return unavailable("the event log did not confirm the event; publish it again: %v", err)
}
