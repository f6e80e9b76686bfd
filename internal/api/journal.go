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
	q, err := parseFailureQuery(ctx)
	if err != nil {
		return err
	}
	c, cancel := s.queryContext()
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

func parseFailureQuery(ctx *fasthttp.RequestCtx) (q FailureQuery, err error) {
	if q.GatewayID, err = nameParam(ctx, "gatewayId"); err != nil {
		return q, err
	}
	if status, ok := param(ctx, "status"); ok && status != "failed" {
		return q, badParam("status", "want failed; other deliveries are counted by event, at /events/ID")
	}
	if q.From, err = timeParam(ctx, "from"); err != nil {
		return q, err
	}
	if q.To, err = timeParam(ctx, "to"); err != nil {
		return q, err
	}
	if !q.To.IsZero() && q.To.Before(q.From) {
		return q, badParam("to", "is before the parameter from")
	}
	if q.Limit, err = limitParam(ctx, queryPage); err != nil {
		return q, err
	}
	q.After, _ = param(ctx, "cursor")
	return q, nil
}

// listMessages is GET /messages.
func (s *Server) listMessages(ctx *fasthttp.RequestCtx) error {
	limit, err := limitParam(ctx, queryPage)
	if err != nil {
		return err
	}
	wait, err := waitParam(ctx)
	if err != nil {
		return err
	}
	kind, err := typeParam(ctx)
	if err != nil {
		return err
	}
	after, _ := param(ctx, "after")
	waits := s.pollCtx
	if wait > 0 {
		var done func()
		if waits, done, err = s.startLongPoll(ctx); err != nil {
			return err
		}
		defer done()
	}
	list, cursor, err := s.filteredMessages(waits, kind, MessageQuery{After: after, Limit: limit, Wait: wait})
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
func (s *Server) filteredMessages(waits context.Context, kind string, q MessageQuery) (list []json.RawMessage, cursor string, err error) {
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
	c, cancel := s.queryContext()
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
func waitParam(ctx *fasthttp.RequestCtx) (time.Duration, error) {
	text, ok := param(ctx, "wait")
	if !ok {
		return 0, nil
	}
	if _, err := strconv.ParseUint(text, 10, 64); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		return 0, badParam("wait", "want seconds, or a time such as 500ms or 1m, up to a minute")
	}
	return d, nil
}

// journalProblem is the problem with a list that could not be had. The parameter
// is the one that is its cursor.
func journalProblem(cursor string, err error) *problem {
	if errors.Is(err, ErrCursor) {
		return badParam(cursor, err.Error())
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
