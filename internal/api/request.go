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

// bodySlack is by how many bytes a request body may exceed the largest event:
// white space, the ids of the target gateways, escapes in strings.
const bodySlack = 64 << 10

// discardLimit bounds how many bytes of a refused body are read. A client that
// writes everything before it reads would otherwise get a connection reset
// instead of the answer.
const discardLimit = 16 << 20

// bodies holds buffers for whole request bodies.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// withBody calls f with the whole request body, JSON or empty. f must not keep
// it. A body that is too long, or has another content type or coding, is a
// problem.
func (s *Server) withBody(ctx *fasthttp.RequestCtx, f func(body []byte) error) error {
	limit := s.cfg.MaxPayload + bodySlack
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return f(nil)
	}
	// The type of an empty body does not matter. A chunked body has length -1.
	if ctx.Request.Header.ContentLength() != 0 {
		if _, err := bodyType(ctx, typeJSON); err != nil {
			return err
		}
	}
	buf := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(buf)
	buf.Reset()
	// A declared length over the limit is refused without reading. Any other
	// body is read up to one byte more than the limit, which shows whether it
	// exceeds it.
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
	// fasthttp's stream ends without an error when the client disconnects.
	case buf.Len() < declared:
		return requestProblem(io.ErrUnexpectedEOF)
	}
	return f(buf.Bytes())
}

// bodyType returns which of the accepted media types a request body has: the
// first, if there is no Content-Type. A compressed body and a charset other
// than UTF-8 are problems.
func bodyType(ctx *fasthttp.RequestCtx, accepted ...string) (string, error) {
	mediaType, err := mediaTypeOf(&ctx.Request.Header, accepted)
	// A chunked body is not discarded: it may never end, and its sender reads
	// meanwhile.
	if stream := ctx.RequestBodyStream(); err != nil && stream != nil && ctx.Request.Header.ContentLength() > 0 {
		_, _ = io.CopyN(io.Discard, stream, discardLimit)
	}
	return mediaType, err
}

// mediaTypeOf is bodyType for the headers alone.
func mediaTypeOf(h *fasthttp.RequestHeader, accepted []string) (string, error) {
	for _, line := range h.PeekAll(fasthttp.HeaderContentEncoding) {
		for coding := range bytes.SplitSeq(line, []byte(",")) {
			coding = bytes.TrimSpace(coding)
			if len(coding) > 0 && !bytes.EqualFold(coding, []byte("identity")) {
				p := unsupported(fasthttp.HeaderContentEncoding, fmt.Sprintf("the coding %q is not supported; send the body uncompressed", coding))
				p.header = [2]string{fasthttp.HeaderAcceptEncoding, "identity"}
				return "", p
			}
		}
	}
	text := h.ContentType()
	if len(text) == 0 || string(text) == accepted[0] {
		return accepted[0], nil
	}
	// Other parameters than the charset are ignored, also malformed ones.
	mediaType, parameters, err := mime.ParseMediaType(string(text))
	charset, given := parameters["charset"]
	switch {
	case err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter), !slices.Contains(accepted, mediaType):
		return "", unsupported(fasthttp.HeaderContentType, "want "+strings.Join(accepted, " or "))
	case given && !slices.Contains([]string{"utf-8", "utf8", "us-ascii"}, strings.ToLower(charset)):
		return "", unsupported(fasthttp.HeaderContentType, fmt.Sprintf("the charset %q is not supported; want UTF-8", charset))
	}
	return mediaType, nil
}

// unsupported is the answer to a body in a form that is not supported, as a
// header says.
func unsupported(header, message string) *problem {
	p := problemf(fasthttp.StatusUnsupportedMediaType, codeUnsupported, "header %s: %s", header, message)
	p.field = header
	return p
}

// decode reads a body of one JSON object. It calls member for each member,
// which reports whether it knows the name. The code is used for an invalid
// field.
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

// acceptsNDJSON reports whether the client asks for newline-delimited JSON.
func acceptsNDJSON(ctx *fasthttp.RequestCtx) bool {
	for _, line := range ctx.Request.Header.PeekAll(fasthttp.HeaderAccept) {
		for mediaRange := range strings.SplitSeq(string(line), ",") {
			mediaType, parameters, err := mime.ParseMediaType(mediaRange)
			if err == nil && mediaType == typeNDJSON && parameters["q"] != "0" {
				return true
			}
		}
	}
	return false
}

// answerJSON answers with a JSON text. The response owns body from then on.
func answerJSON(ctx *fasthttp.RequestCtx, status int, body []byte) {
	ctx.SetStatusCode(status)
	ctx.SetContentType(typeJSON)
	ctx.Response.SetBodyRaw(append(body, '\n'))
}

// answer answers with v as JSON.
func answer(ctx *fasthttp.RequestCtx, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot encode the answer as JSON: %w", err)
	}
	answerJSON(ctx, status, body)
	return nil
}
