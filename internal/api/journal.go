// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/valyala/fasthttp"
)

// listDeliveries is GET /deliveries: those that failed.
func (s *Server) listDeliveries(ctx *fasthttp.RequestCtx) error {
	q, err := failureQuery(ctx)
	if err != nil {
		return err
	}
	c, cancel := s.query()
	defer cancel()
	list, next, err := s.cfg.Failures.List(c, q)
	if err != nil {
		return journalProblem("cursor", err)
	}
	body := appendRaw([]byte(`{"deliveries":`), list)
	if next != "" {
		body = event.AppendString(append(body, `,"cursor":`...), next)
	}
	answerJSON(ctx, fasthttp.StatusOK, append(body, '}'))
	return nil
}

func failureQuery(ctx *fasthttp.RequestCtx) (q FailureQuery, err error) {
	if q.GatewayID, err = nameArg(ctx, "gatewayId"); err != nil {
		return q, err
	}
	if status, ok := arg(ctx, "status"); ok && status != "failed" {
		return q, badArg("status", "want failed; other deliveries are counted by event, at /events/ID")
	}
	if q.From, err = timeArg(ctx, "from"); err != nil {
		return q, err
	}
	if q.To, err = timeArg(ctx, "to"); err != nil {
		return q, err
	}
	if !q.To.IsZero() && q.To.Before(q.From) {
		return q, badArg("to", "is before the parameter from")
	}
	if q.Limit, err = limitArg(ctx, queryPage); err != nil {
		return q, err
	}
	q.After, _ = arg(ctx, "cursor")
	return q, nil
}

// listMessages is GET /messages.
func (s *Server) listMessages(ctx *fasthttp.RequestCtx) error {
	limit, err := limitArg(ctx, queryPage)
	if err != nil {
		return err
	}
	wait, err := waitArg(ctx)
	if err != nil {
		return err
	}
	kind, err := typeArg(ctx)
	if err != nil {
		return err
	}
	after, _ := arg(ctx, "after")
	waits := s.waits
	if wait > 0 {
		var done func()
		if waits, done, err = s.waiting(ctx); err != nil {
			return err
		}
		defer done()
	}
	list, cursor, err := s.messagesOf(waits, kind, MessageQuery{After: after, Limit: limit, Wait: wait})
	if err != nil {
		return journalProblem("after", err)
	}
	body := appendRaw([]byte(`{"messages":`), list)
	body = event.AppendString(append(body, `,"cursor":`...), cursor)
	answerJSON(ctx, fasthttp.StatusOK, append(body, '}'))
	return nil
}

// messagesOf is messages of one type, and gaps, unless kind is empty. While those that come are of
// others it goes on, for as long as a look into the log may take. When waits ends there
// is no more to wait for.
func (s *Server) messagesOf(waits context.Context, kind string, q MessageQuery) (list []json.RawMessage, cursor string, err error) {
	began := time.Now()
	until := began.Add(q.Wait)
	for {
		list, cursor, err = s.messages(waits, q)
		if err != nil || kind == "" || len(list) == 0 {
			return list, cursor, err
		}
		list = slices.DeleteFunc(list, func(m json.RawMessage) bool {
			t := messageType(m)
			return t != kind && t != typeGap
		})
		if len(list) > 0 || time.Since(began) > max(q.Wait, s.limits.query) {
			return list, cursor, nil
		}
		q.After, q.Wait = cursor, max(0, time.Until(until))
	}
}

// typeGap is the type of what stands where messages are missing.
const typeGap = "gap"

// messageType returns the type of a message, as the journal has it.
func messageType(m json.RawMessage) (kind string) {
	for o := strict.Read(m); o.Next(); {
		if string(o.Name()) == "type" {
			return o.String()
		}
	}
	return ""
}

// messages asks without waiting first: so there is a cursor to answer with when
// the node drains, and a log out of reach is told of at once.
func (s *Server) messages(waits context.Context, q MessageQuery) (list []json.RawMessage, cursor string, err error) {
	wait := q.Wait
	q.Wait = 0
	c, cancel := s.query()
	defer cancel()
	list, cursor, err = s.cfg.Messages.List(c, q)
	if err != nil || len(list) > 0 || wait == 0 {
		return list, cursor, err
	}
	q.After, q.Wait = cursor, wait
	list, last, err := s.cfg.Messages.List(waits, q)
	if err != nil && waits.Err() != nil {
		return nil, cursor, nil
	}
	return list, last, err
}

// maxWait bounds how long a request waits for a message.
const maxWait = time.Minute

// waitArg returns the parameter "wait", or 0 when there is none.
func waitArg(ctx *fasthttp.RequestCtx) (time.Duration, error) {
	text, ok := arg(ctx, "wait")
	if !ok {
		return 0, nil
	}
	if _, err := strconv.ParseUint(text, 10, 64); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		return 0, badArg("wait", "want seconds, or a time such as 500ms or 1m, up to a minute")
	}
	return d, nil
}

// journalProblem is the problem with a list that could not be had. The parameter
// is the one that is its cursor.
func journalProblem(cursor string, err error) *problem {
	if errors.Is(err, ErrCursor) {
		return badArg(cursor, err.Error())
	}
	return logProblem(err)
}

// appendRaw appends an array of JSON texts as they are.
func appendRaw(dst []byte, list []json.RawMessage) []byte {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, v...)
	}
	return append(dst, ']')
}
