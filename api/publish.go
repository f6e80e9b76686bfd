// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gatecast/event"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
)

// publish is POST /events: one event, or newline-delimited JSON of many.
func (s *Server) publish(ctx *fasthttp.RequestCtx) error {
	key, err := idempotencyKey(ctx)
	if err == nil && isNDJSON(ctx) {
		s.publishMany(ctx, key)
		return nil
	}
	if err == nil {
		err = s.withBody(ctx, func(body []byte) error { return s.publishOne(ctx, body, key) })
	}
	if p, ok := errors.AsType[*problem](err); ok {
		s.cfg.Node.RejectedPublishes.WithLabelValues(p.code).Inc()
	}
	return err
}

func isNDJSON(ctx *fasthttp.RequestCtx) bool {
	mediaType, _, _ := bytes.Cut(ctx.Request.Header.ContentType(), []byte(";"))
	return bytes.EqualFold(bytes.TrimSpace(mediaType), []byte(typeNDJSON))
}

const (
	headerIdempotencyKey = "Idempotency-Key"
	maxIdempotencyKey    = 128 // bytes
)

// idempotencyKey returns the request's, or "" when it has none.
func idempotencyKey(ctx *fasthttp.RequestCtx) (string, error) {
	all := ctx.Request.Header.PeekAll(headerIdempotencyKey)
	if len(all) == 0 {
		return "", nil
	}
	key := all[0]
	visible := func(r rune) bool { return '!' <= r && r <= '~' }
	if len(all) > 1 || len(key) == 0 || len(key) > maxIdempotencyKey || len(bytes.TrimFunc(key, visible)) > 0 {
		p := problemf(fasthttp.StatusBadRequest, codeBadRequest,
			"header %s: want it once, with 1 to %d visible ASCII characters", headerIdempotencyKey, maxIdempotencyKey)
		p.field = headerIdempotencyKey
		return "", p
	}
	return string(key), nil
}

func (s *Server) publishOne(ctx *fasthttp.RequestCtx, text []byte, key string) error {
	p, err := s.submit(text, key)
	if err != nil {
		return err
	}
	r, err := s.settle(&p)
	if err != nil {
		return err
	}
	answerJSON(ctx, fasthttp.StatusAccepted, r.appendTo(make([]byte, 0, 256)))
	return nil
}

// A receipt is what a publisher is told of its event.
type receipt struct {
	id            event.Cursor
	correlationID string
	timestamp     time.Time
	targets       int // gateways it is for
	connected     int // of them, those that have a connection
}

// of returns the receipt with an id.
func (r receipt) of(id event.Cursor) receipt {
	r.id = id
	return r
}

// appendTo appends the receipt's JSON.
func (r *receipt) appendTo(dst []byte) []byte {
	dst = append(dst, `{"id":"`...)
	dst = r.id.AppendText(dst)
	dst = append(dst, `","correlationId":`...)
	dst = event.AppendString(dst, r.correlationID)
	dst = append(dst, `,"timestamp":`...)
	dst = event.AppendTime(dst, r.timestamp)
	dst = append(dst, `,"targets":`...)
	dst = strconv.AppendInt(dst, int64(r.targets), 10)
	dst = append(dst, `,"connected":`...)
	dst = strconv.AppendInt(dst, int64(r.connected), 10)
	return append(dst, '}')
}

// A submission is an event that was given to the log, and is to be settled.
type submission struct {
	event   *event.Event
	receipt receipt // without its id, while there is a pending
	pending Pending // nil: it was published before, and this is the receipt
	at      time.Time

	// Of an event with an idempotency key.
	claim   *claim
	attempt *attempt
}

// submit gives an event of a publisher's text to the log. It keeps nothing of
// the text. An error is a problem.
func (s *Server) submit(text []byte, key string) (submission, error) {
	if key != "" {
		if r, ok := s.claims.known(key, s.cfg.Now()); ok {
			return submission{receipt: r}, nil
		}
	}
	a, err := s.admit(text)
	if err != nil {
		return submission{}, err
	}
	if !s.gate.enter() {
		return submission{}, drainingProblem()
	}
	a.event.IdempotencyKey = key
	p, err := s.send(&a)
	if err != nil {
		s.gate.leave()
		return submission{}, appendProblem(err)
	}
	return p, nil
}

func (s *Server) send(a *admitted) (p submission, err error) {
	p = submission{event: a.event, receipt: a.receipt, at: time.Now()}
	if key := a.event.IdempotencyKey; key != "" {
		p.claim = s.claims.of(key, a.event.Timestamp)
		if p.attempt, err = p.claim.begin(s.cfg.Log, a.event, a.body, a.receipt); err != nil {
			return submission{}, err
		}
		p.pending = p.attempt.pending
		return p, nil
	}
	p.pending, err = s.cfg.Log.AppendAsync(a.event, a.body)
	return p, err
}

// An admitted event is one that is ready for the log.
type admitted struct {
	event   *event.Event
	body    []byte  // its JSON
	receipt receipt // without its id
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
	return admitted{ev, body, receipt{
		correlationID: ev.CorrelationID, timestamp: ev.Timestamp, targets: targets, connected: connected,
	}}, nil
}

// settle returns a submission's receipt when the log has the event. It is to be
// called once. An error is a problem.
func (s *Server) settle(p *submission) (receipt, error) {
	if p.pending == nil {
		return p.receipt, nil
	}
	defer s.gate.leave()
	id, err := p.pending.Wait(s.ctx)
	switch {
	case err == nil && p.claim == nil:
		r := p.receipt.of(id)
		s.taken(p.event, &r, p.at)
		return r, nil
	case err == nil:
		return s.settleClaim(p, id)
	case p.claim != nil:
		p.claim.fail(p.attempt)
	}
	return receipt{}, appendProblem(err)
}

// settleClaim is settle for an event with an idempotency key: the log has it, or
// one before it, at a place.
func (s *Server) settleClaim(p *submission, id event.Cursor) (receipt, error) {
	if !p.pending.Duplicate() {
		r := p.claim.succeed(p.attempt, p.receipt.of(id))
		s.taken(p.event, &r, p.at)
		return r, nil
	}
	r, ok := p.claim.find(s.ctx, id)
	if !ok {
		var err error
		if r, err = s.receiptOf(id, p.receipt); err != nil {
			p.claim.fail(p.attempt)
			return receipt{}, err
		}
	}
	return p.claim.succeed(p.attempt, r), nil
}

// receiptOf makes the receipt of an event that was published before a restart,
// by another node, or by one of very many. Its connected gateways are those of
// now. Of an event that has left the log nothing is known but what the repeat
// says.
func (s *Server) receiptOf(id event.Cursor, repeat receipt) (receipt, error) {
	c, cancel := s.query()
	defer cancel()
	e, err := s.cfg.Events.Event(c, id)
	if errors.Is(err, ErrNotRetained) {
		return repeat.of(id), nil
	}
	if err != nil {
		return receipt{}, appendProblem(fmt.Errorf("it was published before, as %v, but cannot be read: %w", id, err))
	}
	at, _ := event.Published(e.Body)
	targets, connected, _ := s.cfg.Registry.Reach(e.Target)
	return receipt{id, event.ReadHead(e.Body).CorrelationID, at, targets, connected}, nil
}

// query returns the context of a look into the log.
func (s *Server) query() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.ctx, s.limits.query)
}

// taken counts an event that the log has, and tells of the gateways that it did
// not reach.
func (s *Server) taken(ev *event.Event, r *receipt, began time.Time) {
	s.cfg.Node.LogAppendSeconds.Observe(time.Since(began).Seconds())
	s.cfg.Node.Published(ev.Type)
	if s.cfg.Missed == nil || r.targets <= r.connected {
		return
	}
	gateways, total := s.cfg.Registry.Away(ev.Target, MaxListed)
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
	return unavailable("the event log did not confirm the event, publish it again: %v", err)
}
