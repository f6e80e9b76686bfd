// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/valyala/fasthttp"
)

// queryKey is where a request keeps its parameters: a strict.Query.
const queryKey = "query"

// takes is a handler of requests whose query may have the parameters, each once.
// Anything else in it is a problem: who misspells a parameter would get an answer
// to another question.
func withParams(h handler, parameters ...string) handler {
	return func(ctx *fasthttp.RequestCtx) error {
		raw := ctx.URI().QueryString()
		if len(raw) == 0 {
			return h(ctx)
		}
		q, err := strict.ParseQuery(string(raw), parameters...)
		if f, ok := errors.AsType[*event.FieldError](err); ok {
			return badParam(f.Field, f.Problem)
		}
		ctx.SetUserValue(queryKey, q)
		return h(ctx)
	}
}

// arg returns a parameter of the query, and whether it is there.
func param(ctx *fasthttp.RequestCtx, name string) (value string, ok bool) {
	q, _ := ctx.UserValue(queryKey).(strict.Query)
	value, ok = q[name]
	return value, ok
}

// maxPage is the most that a list gives at once to who asks for a limit.
const maxPage = 1000

// limitArg returns the parameter "limit", or def when there is none.
func limitParam(ctx *fasthttp.RequestCtx, def int) (int, error) {
	text, ok := param(ctx, "limit")
	if !ok {
		return def, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n < 1 || n > maxPage {
		return 0, badParam("limit", fmt.Sprintf("want a number from 1 to %d", maxPage))
	}
	return int(n), nil
}

// nameArg returns a parameter that is an id, or "" when there is none.
func nameParam(ctx *fasthttp.RequestCtx, name string) (string, error) {
	v, ok := param(ctx, name)
	if ok && !event.ValidName(v) {
		return "", badParam(name, fmt.Sprintf("want 1 to %d of letters, digits, _ and -", event.MaxNameLen))
	}
	return v, nil
}

// typeArg returns the parameter "type", or "" when there is none.
func typeParam(ctx *fasthttp.RequestCtx) (string, error) {
	v, ok := param(ctx, "type")
	if ok && !event.ValidType(v) {
		return "", badParam("type", "want a type of events such as api.deployed")
	}
	return v, nil
}

// timeArg returns a parameter that is a time, or the zero time when there is none.
func timeParam(ctx *fasthttp.RequestCtx, name string) (time.Time, error) {
	text, ok := param(ctx, name)
	if !ok {
		return time.Time{}, nil
	}
	at, err := strict.Time(text)
	if err != nil {
		return time.Time{}, badParam(name, err.Error())
	}
	if at.IsZero() { // which would stand for none
		at = at.Add(1)
	}
	return at, nil
}

func badParam(name, want string) *problem {
	p := problemf(fasthttp.StatusBadRequest, codeBadRequest, "parameter %s: %s", name, want)
	p.field = name
	return p
}

// pathArg returns a part of the path, as it was written.
func pathParam(ctx *fasthttp.RequestCtx, name string) string {
	v, _ := ctx.UserValue(name).(string)
	return v
}
