// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"unicode/utf8"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/event"

	"github.com/valyala/fasthttp"
)

// Errors that the interfaces' implementations wrap.
var (
	// ErrCursor is about a cursor that the list did not make.
	ErrCursor = errors.New("not a cursor of this list")
	// ErrNotRetained is about an event that never was in the log, or has left it.
	ErrNotRetained = errors.New("not retained")
)

// Codes of errors: the word "error" of an answer, that programs branch on.
const (
	codeBadRequest       = "bad_request"
	codeUnauthorized     = "unauthorized"
	codeForbidden        = "forbidden"
	codeNotFound         = "not_found"
	codeMethodNotAllowed = "method_not_allowed"
	codeTimeout          = "request_timeout"
	codeConflict         = "conflict"
	codeTooLarge         = "payload_too_large"
	codeUnsupported      = "unsupported_media_type"
	codeInvalidEvent     = "invalid_event"
	codeInvalidGateway   = "invalid_gateway"
	codeInvalidToken     = "invalid_token"
	codeInternal         = "internal_error"
	codeUnavailable      = "unavailable"
	codeDraining         = "draining"
)

// A problem is an error as it is answered.
type problem struct {
	status  int
	code    string
	message string
	field   string    // of the request, when it is about one
	header  [2]string // of the answer, name and value; empty for none
}

func (p *problem) Error() string { return p.code + ": " + p.message }

func problemf(status int, code, format string, args ...any) *problem {
	return &problem{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// Bounds of what is said of a problem, in bytes. It quotes the request, of which a name
// alone may be a megabyte long, and a bulk publish may have a million bad lines.
const (
	maxMessageBytes = 512
	maxFieldBytes   = 128
)

// cut returns text, without its end if it is longer than n bytes.
func truncate(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

// appendTo appends the problem's members, as they stand in an object.
func (p *problem) appendTo(dst []byte) []byte {
	dst = append(dst, `"error":`...)
	dst = event.AppendString(dst, p.code)
	dst = append(dst, `,"message":`...)
	dst = event.AppendString(dst, truncate(p.message, maxMessageBytes))
	if p.field != "" {
		dst = append(dst, `,"field":`...)
		dst = event.AppendString(dst, truncate(p.field, maxFieldBytes))
	}
	return dst
}

// answer makes the problem the response.
func (p *problem) answer(ctx *fasthttp.RequestCtx) { p.writeTo(&ctx.Response) }

func (p *problem) writeTo(r *fasthttp.Response) {
	r.SetStatusCode(p.status)
	r.Header.SetContentType(typeJSON)
	switch p.status {
	case fasthttp.StatusUnauthorized:
		r.Header.Set(fasthttp.HeaderWWWAuthenticate, `Bearer realm="gatecast"`)
	case fasthttp.StatusServiceUnavailable:
		r.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(retryAfter))
	}
	if p.header[0] != "" {
		r.Header.Set(p.header[0], p.header[1])
	}
	body := append(p.appendTo([]byte{'{'}), '}', '\n')
	r.SetBodyRaw(body)
	r.Header.SetContentLength(len(body))
}

func headerTooLong() *problem {
	return problemf(fasthttp.StatusRequestHeaderFieldsTooLarge, codeBadRequest, "the request's header is longer than 8 KiB")
}

func missingToken() *problem {
	return problemf(fasthttp.StatusUnauthorized, codeUnauthorized, "this needs the header Authorization: Bearer ADMIN_TOKEN")
}

// retryAfter is how many seconds a client is asked to wait with what failed for
// now.
const retryAfter = 1

// invalid is the problem with one field of a request. The code says what the
// request was to make: invalid_event, invalid_gateway or invalid_token.
func invalid(code string, err *event.FieldError) *problem {
	return &problem{
		status: fasthttp.StatusUnprocessableEntity, code: code,
		message: err.Error(), field: err.Field,
	}
}

func tooLarge(format string, args ...any) *problem {
	return problemf(fasthttp.StatusRequestEntityTooLarge, codeTooLarge, format, args...)
}

func notFound(format string, args ...any) *problem {
	return problemf(fasthttp.StatusNotFound, codeNotFound, format, args...)
}

func unavailable(format string, args ...any) *problem {
	return problemf(fasthttp.StatusServiceUnavailable, codeUnavailable, format, args...)
}

// requestProblem is the problem with what was to be read from a request's body.
func requestProblem(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return problemf(fasthttp.StatusRequestTimeout, codeTimeout, "the body did not arrive in time")
	}
	return problemf(fasthttp.StatusBadRequest, codeBadRequest, "%v", err)
}

// registryProblem is the problem with a change to the registry that failed. The
// code is that of an invalid field.
func registryProblem(err error, code string) *problem {
	if f, ok := errors.AsType[*event.FieldError](err); ok {
		return invalid(code, f)
	}
	switch {
	case errors.Is(err, auth.ErrNotFound):
		return notFound("%v", err)
	case errors.Is(err, auth.ErrConflict), errors.Is(err, auth.ErrTooManyTokens):
		return problemf(fasthttp.StatusConflict, codeConflict, "%v", err)
	default:
		return unavailable("the registry cannot be changed now: %v", err)
	}
}

// badRequest answers what is not an HTTP request.
func (s *Server) badRequest(ctx *fasthttp.RequestCtx, err error) {
	addSecurityHeaders(&ctx.Response.Header)
	if _, ok := errors.AsType[*fasthttp.ErrSmallBuffer](err); ok {
		headerTooLong().answer(ctx)
		return
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		problemf(fasthttp.StatusRequestTimeout, codeTimeout, "the request did not arrive in time").answer(ctx)
		return
	}
	problemf(fasthttp.StatusBadRequest, codeBadRequest, "not a valid HTTP request").answer(ctx)
}
