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

// listDeliveries is GET /deliveries: the failed deliveries.
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

// parseFailureQuery reads the parameters of GET /deliveries.
func parseFailureQuery(ctx *fasthttp.RequestCtx) (q FailureQuery, err error) {
	if q.GatewayID, err = nameParam(ctx, "gatewayId"); err != nil {
		return q, err
	}
	if status, ok := param(ctx, "status"); ok && status != "failed" {
		return q, badParam("status", "want failed; for other deliveries see the counts of an event, GET /events/{id}")
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

// listMessages is GET /messages: what gateways reported. With the parameter
// wait it is a long poll.
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

// filteredMessages returns messages of one type, and gaps; an empty kind means
// all types. While it finds only other types it reads on, for at most the
// longer of the query timeout and the requested wait. When waitCtx ends it
// stops waiting and returns what it has.
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
		// An empty page with a cursor is a valid answer: the client continues
		// there.
		if len(list) > 0 || time.Since(began) > max(q.Wait, s.limits.query) {
			return list, cursor, nil
		}
		q.After, q.Wait = cursor, max(0, time.Until(until))
	}
}

// typeGap is the type of the entry that stands for messages which left the
// journal unread.
const typeGap = "gap"

// messageType returns the type of a message in the journal's JSON.
func messageType(m json.RawMessage) (kind string) {
	for o := strict.Read(m); o.Next(); {
		if string(o.Name()) == "type" {
			return o.String()
		}
	}
	return ""
}

// messages returns the next messages. It asks once without waiting, and only
// then waits: so it has a cursor to answer with when the node drains, and it
// reports an unreachable log at once.
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

// maxWait bounds the parameter wait.
const maxWait = time.Minute

// waitParam returns the parameter "wait", in seconds or as a Go duration; 0 if
// there is none.
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
		return 0, badParam("wait", "want seconds or a duration such as 500ms or 1m, at most one minute")
	}
	return d, nil
}

// journalProblem is the answer when a list cannot be read. The argument is the
// name of the parameter that holds the cursor.
func journalProblem(cursor string, err error) *problem {
	if errors.Is(err, ErrCursor) {
		return badParam(cursor, err.Error())
	}
	return logProblem(err)
}

// appendRaw appends a JSON array of JSON texts.
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
