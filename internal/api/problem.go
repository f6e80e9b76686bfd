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

// Errors that implementations of the interfaces in backends.go wrap.
var (
	// ErrCursor means that the list did not make this cursor.
	ErrCursor = errors.New("not a cursor of this list")
	// ErrNotRetained means that an event never was in the log, or has left it.
	ErrNotRetained = errors.New("not retained")
)

// Error codes: the member "error" of an answer. Programs branch on them, so
// they never change. openapi.yaml lists each with its cause and remedy.
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

// A problem is an error together with its answer. It is immutable.
type problem struct {
	status  int // of HTTP; 0 in lines of a bulk publish
	code    string
	message string    // for people; cut to maxMessageBytes in the answer
	field   string    // the field, parameter or header that it is about; empty: none
	header  [2]string // name and value of an extra header; empty: none
}

func (p *problem) Error() string { return p.code + ": " + p.message }

// problemf returns a problem with a formatted message.
func problemf(status int, code, format string, args ...any) *problem {
	return &problem{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// Bounds on an answer, in bytes. Messages quote the request, in which a single
// name can have a megabyte; and a bulk publish can have a million bad lines.
const (
	maxMessageBytes = 512
	maxFieldBytes   = 128
)

// truncate cuts text to at most n bytes, at a character boundary, and marks the
// cut.
func truncate(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

// appendTo appends the members of the problem without the braces of the object.
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

// answer makes the problem the response of a request.
func (p *problem) answer(ctx *fasthttp.RequestCtx) { p.writeTo(&ctx.Response) }

// writeTo writes the problem into a response.
func (p *problem) writeTo(r *fasthttp.Response) {
	r.SetStatusCode(p.status)
	r.Header.SetContentType(typeJSON)
	// Headers that HTTP requires with these statuses (RFC 9110 sections 11.6.1
	// and 10.2.3).
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
	return problemf(fasthttp.StatusRequestHeaderFieldsTooLarge, codeBadRequest, "the request line and headers exceed 8 KiB")
}

func missingToken() *problem {
	return problemf(fasthttp.StatusUnauthorized, codeUnauthorized, "no valid admin token; send the header Authorization: Bearer ADMIN_TOKEN")
}

// retryAfter is the Retry-After of 503 answers, in seconds.
const retryAfter = 1

// invalid is the problem with one field of a request body. The code names what
// the body describes: invalid_event, invalid_gateway or invalid_token.
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

// requestProblem is the answer to a request whose body cannot be read.
func requestProblem(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return problemf(fasthttp.StatusRequestTimeout, codeTimeout, "the request body did not arrive in time")
	}
	return problemf(fasthttp.StatusBadRequest, codeBadRequest, "%v", err)
}

// registryProblem is the answer when a change of the registry failed. The code
// is used for an invalid field.
func registryProblem(err error, code string) *problem {
	if f, ok := errors.AsType[*event.FieldError](err); ok {
		return invalid(code, f)
	}
	if d, ok := errors.AsType[*auth.DigestConflict](err); ok {
		p := problemf(fasthttp.StatusConflict, codeConflict, "%v", err)
		p.field = d.Field
		return p
	}
	switch {
	case errors.Is(err, auth.ErrNotFound):
		return notFound("%v", err)
	case errors.Is(err, auth.ErrConflict), errors.Is(err, auth.ErrTooManyTokens):
		return problemf(fasthttp.StatusConflict, codeConflict, "%v", err)
	default:
		return unavailable("cannot change the registry: %v", err)
	}
}

// badRequest is the ErrorHandler of fasthttp: the answer to what is not an HTTP
// request. The checkedListener answers most of these before.
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
