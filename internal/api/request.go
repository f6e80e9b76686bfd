// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"
	"sync"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/valyala/fasthttp"
)

// bodySlack is by how much a request's body may be longer than an event: by
// white space, the names of its receivers and the escapes of its strings.
const bodySlack = 64 << 10

// discardLimit bounds what is read of a body that is too long, so that a client
// which writes all before it reads anything gets to the answer.
const discardLimit = 16 << 20

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// withBody calls f with the request's whole body, which f must not keep: JSON, unless
// it is empty. A body longer than the limit is a problem, and so is one of another
// type or coding.
func (s *Server) withBody(ctx *fasthttp.RequestCtx, f func(body []byte) error) error {
	limit := s.cfg.MaxPayload + bodySlack
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return f(nil)
	}
	if ctx.Request.Header.ContentLength() != 0 {
		if _, err := bodyType(ctx, typeJSON); err != nil {
			return err
		}
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

// bodyType returns which of the media types a request's body has. Without a
// Content-Type it is the first. A coded body is a problem, and so is a text in another
// charset than UTF-8, because neither would be read as what it is.
func bodyType(ctx *fasthttp.RequestCtx, taken ...string) (string, error) {
	mediaType, err := mediaTypeOf(&ctx.Request.Header, taken)
	// Who streams a body without an end gets the answer at once.
	if stream := ctx.RequestBodyStream(); err != nil && stream != nil && ctx.Request.Header.ContentLength() > 0 {
		_, _ = io.CopyN(io.Discard, stream, discardLimit)
	}
	return mediaType, err
}

// formOf is bodyType by a request's headers alone.
func mediaTypeOf(h *fasthttp.RequestHeader, taken []string) (string, error) {
	for _, line := range h.PeekAll(fasthttp.HeaderContentEncoding) {
		for coding := range bytes.SplitSeq(line, []byte(",")) {
			coding = bytes.TrimSpace(coding)
			if len(coding) > 0 && !bytes.EqualFold(coding, []byte("identity")) {
				p := unsupported(fasthttp.HeaderContentEncoding, fmt.Sprintf("a body in the coding %q cannot be read; send it uncoded", coding))
				p.header = [2]string{fasthttp.HeaderAcceptEncoding, "identity"}
				return "", p
			}
		}
	}
	text := h.ContentType()
	if len(text) == 0 || string(text) == taken[0] {
		return taken[0], nil
	}
	// A parameter that cannot be read changes nothing, unless it is the charset.
	mediaType, parameters, err := mime.ParseMediaType(string(text))
	charset, given := parameters["charset"]
	switch {
	case err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter), !slices.Contains(taken, mediaType):
		return "", unsupported(fasthttp.HeaderContentType, "want "+strings.Join(taken, " or "))
	case given && !slices.Contains([]string{"utf-8", "utf8", "us-ascii"}, strings.ToLower(charset)):
		return "", unsupported(fasthttp.HeaderContentType, fmt.Sprintf("a body in the charset %q cannot be read; want UTF-8", charset))
	}
	return mediaType, nil
}

// unsupported is the problem with the form of a body, of which a header tells.
func unsupported(header, message string) *problem {
	p := problemf(fasthttp.StatusUnsupportedMediaType, codeUnsupported, "header %s: %s", header, message)
	p.field = header
	return p
}

// decode reads one JSON object: member is called for each of its members, and says
// whether it knows the name. The code is that of an invalid field.
func decode(body []byte, code string, member func(o *strict.Object, name string) (known bool)) error {
	o := strict.Read(body)
	for o.Next() {
		if !member(&o, string(o.Name())) {
			o.Fail("is not a field of this request")
		}
	}
	err := o.Err()
	if f, ok := errors.AsType[*event.FieldError](err); ok {
		return invalid(code, f)
	}
	if err != nil {
		return requestProblem(err)
	}
	return nil
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
