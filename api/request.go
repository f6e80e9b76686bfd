// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"gatecast/event"

	"github.com/valyala/fasthttp"
)

// bodySlack is by how much a request's body may be longer than an event: by
// white space, the names of its receivers and the escapes of its strings.
const bodySlack = 64 << 10

// discardLimit bounds what is read of a body that is too long, so that a client
// which writes all before it reads anything gets to the answer.
const discardLimit = 16 << 20

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// withBody calls f with the request's whole body, which f must not keep. A body
// longer than the limit is a problem.
func (s *Server) withBody(ctx *fasthttp.RequestCtx, f func(body []byte) error) error {
	limit := s.cfg.MaxPayload + bodySlack
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return f(nil)
	}
	buf := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(buf)
	buf.Reset()
	declared := ctx.Request.Header.ContentLength()
	if declared <= limit {
		buf.Grow(max(declared, 0) + bytes.MinRead)
		if _, err := buf.ReadFrom(io.LimitReader(stream, int64(limit)+1)); err != nil {
			return requestProblem(err)
		}
	}
	switch {
	case max(declared, buf.Len()) > limit:
		_, _ = io.CopyN(io.Discard, stream, discardLimit)
		return tooLarge("the body is longer than %d bytes", limit)
	case buf.Len() < declared:
		return requestProblem(io.ErrUnexpectedEOF)
	}
	return f(buf.Bytes())
}

// decode reads one JSON object into v, a pointer to a struct. The code is that
// of an invalid field.
func decode(body []byte, v any, code string) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return decodeProblem(err, code)
	}
	if _, err := dec.Token(); err != io.EOF {
		return requestProblem(fmt.Errorf("%w: something follows it", event.ErrSyntax))
	}
	return nil
}

func decodeProblem(err error, code string) *problem {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && t.Field != "" {
		return invalid(code, &event.FieldError{Field: t.Field, Problem: "cannot be a JSON " + t.Value})
	}
	// encoding/json has no type for this error.
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return invalid(code, &event.FieldError{Field: strings.Trim(name, `"`), Problem: "is not a field of this request"})
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	return requestProblem(fmt.Errorf("%w: %w", event.ErrSyntax, err))
}

// maxPage is the most that a list gives at once to who asks for a limit.
const maxPage = 1000

// limitArg returns the parameter "limit", or def when there is none.
func limitArg(ctx *fasthttp.RequestCtx, def int) (int, error) {
	args := ctx.QueryArgs()
	if !args.Has("limit") {
		return def, nil
	}
	n, err := strconv.Atoi(string(args.Peek("limit")))
	if err != nil || n < 1 || n > maxPage {
		return 0, badArg("limit", fmt.Sprintf("want a number from 1 to %d", maxPage))
	}
	return n, nil
}

// nameArg returns a parameter that is an id, or "" when there is none.
func nameArg(ctx *fasthttp.RequestCtx, name string) (string, error) {
	v := string(ctx.QueryArgs().Peek(name))
	if ctx.QueryArgs().Has(name) && !event.ValidName(v) {
		return "", badArg(name, fmt.Sprintf("want 1 to %d of letters, digits, _ and -", event.MaxNameLen))
	}
	return v, nil
}

func badArg(name, want string) *problem {
	p := problemf(fasthttp.StatusBadRequest, codeBadRequest, "parameter %s: %s", name, want)
	p.field = name
	return p
}

// pathArg returns a part of the path, as it was written.
func pathArg(ctx *fasthttp.RequestCtx, name string) string {
	v, _ := ctx.UserValue(name).(string)
	return v
}

// answerJSON answers with a JSON text. The body is the response's from then on.
func answerJSON(ctx *fasthttp.RequestCtx, status int, body []byte) {
	ctx.SetStatusCode(status)
	ctx.SetContentType(typeJSON)
	ctx.Response.SetBodyRaw(append(body, '\n'))
}

// answer answers with v as JSON.
func answer(ctx *fasthttp.RequestCtx, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("the answer cannot be written as JSON: %w", err)
	}
	answerJSON(ctx, status, body)
	return nil
}
