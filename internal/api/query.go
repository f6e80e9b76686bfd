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

// queryKey is the request value that holds the parameters, a strict.Query.
const queryKey = "query"

// withParams wraps a handler whose query may have these parameters, each at
// most once. Any other parameter is a 400: a client that misspells one would
// otherwise get the answer to another question.
func withParams(h handler, parameters ...string) handler {
	return func(ctx *fasthttp.RequestCtx) error {
		// fasthttp's own parser accepts malformed encodings and repeated names.
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

// param returns a query parameter, and whether it is present.
func param(ctx *fasthttp.RequestCtx, name string) (value string, ok bool) {
	q, _ := ctx.UserValue(queryKey).(strict.Query)
	value, ok = q[name]
	return value, ok
}

// maxPage is the largest value of the parameter "limit".
const maxPage = 1000

// limitParam returns the parameter "limit", or def if there is none.
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

// nameParam returns a parameter that is an id, or "" if there is none.
func nameParam(ctx *fasthttp.RequestCtx, name string) (string, error) {
	v, ok := param(ctx, name)
	if ok && !event.ValidName(v) {
		return "", badParam(name, fmt.Sprintf("want 1 to %d of letters, digits, _ and -", event.MaxNameLen))
	}
	return v, nil
}

// typeParam returns the parameter "type", or "" if there is none.
func typeParam(ctx *fasthttp.RequestCtx) (string, error) {
	v, ok := param(ctx, "type")
	if ok && !event.ValidType(v) {
		return "", badParam("type", "want an event type such as api.deployed")
	}
	return v, nil
}

// timeParam returns a parameter that is a time, or the zero time if there is
// none.
func timeParam(ctx *fasthttp.RequestCtx, name string) (time.Time, error) {
	text, ok := param(ctx, name)
	if !ok {
		return time.Time{}, nil
	}
	at, err := strict.Time(text)
	if err != nil {
		return time.Time{}, badParam(name, err.Error())
	}
	if at.IsZero() { // zero means that there is no parameter
		at = at.Add(1)
	}
	return at, nil
}

// badParam is the answer to a query parameter that is not valid.
func badParam(name, message string) *problem {
	p := problemf(fasthttp.StatusBadRequest, codeBadRequest, "parameter %s: %s", name, message)
	p.field = name
	return p
}

// pathParam returns a segment of the path, undecoded.
func pathParam(ctx *fasthttp.RequestCtx, name string) string {
	v, _ := ctx.UserValue(name).(string)
	return v
}
