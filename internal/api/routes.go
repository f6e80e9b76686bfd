// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/spec"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

const (
	prefix     = "/api/internal/v1"
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeYAML   = "application/yaml"
)

// A handler answers a request, or returns why it cannot.
type handler func(*fasthttp.RequestCtx) error

func (s *Server) router() *router.Router {
	r := router.New()
	// A path has one spelling: a redirected publish would be sent twice.
	r.RedirectTrailingSlash, r.RedirectFixedPath = false, false
	r.NotFound = s.handle(noRoute)
	r.MethodNotAllowed = s.handle(wrongMethod)

	r.POST(prefix+"/events", s.act("publish", auth.ScopePublish, s.publish))
	s.get(r, prefix+"/events", s.reads(takes(s.listEvents, "gatewayId", "type", "since", "limit")))
	s.get(r, prefix+"/events/{id}", s.reads(takes(s.showEvent)))
	s.get(r, prefix+"/deliveries", s.reads(takes(s.listDeliveries, "gatewayId", "status", "from", "to", "cursor", "limit")))
	s.get(r, prefix+"/messages", s.reads(takes(s.listMessages, "after", "limit", "wait", "type")))
	s.get(r, prefix+"/stats", s.reads(takes(s.showStats, "gatewayId", "scope", "cursor", "limit")))
	r.POST(prefix+"/gateways", s.act("gateway.add", auth.ScopeAdmin, s.addGateway))
	s.get(r, prefix+"/gateways", s.reads(takes(s.listGateways, "cursor", "limit")))
	s.get(r, prefix+"/gateways/{id}", s.reads(takes(s.showGateway)))
	r.DELETE(prefix+"/gateways/{id}", s.act("gateway.remove", auth.ScopeAdmin, s.removeGateway))
	r.POST(prefix+"/gateways/{id}/tokens", s.act("token.add", auth.ScopeAdmin, s.addToken))
	s.get(r, prefix+"/gateways/{id}/tokens", s.reads(takes(s.listTokens)))
	r.DELETE(prefix+"/gateways/{id}/tokens/{tokenId}", s.act("token.revoke", auth.ScopeAdmin, s.revokeToken))
	r.DELETE(prefix+"/verified/{gatewayId}", s.act("verified.revoke", auth.ScopeAdmin, s.endVerified))
	r.DELETE(prefix+"/connections/{connectionId}", s.act("connection.close", auth.ScopeAdmin, s.closeConnection))

	s.get(r, "/health", health)
	s.get(r, "/ready", s.ready)
	s.get(r, "/metrics", s.metrics())
	s.get(r, "/openapi.yaml", document(spec.OpenAPI))
	s.get(r, "/asyncapi.yaml", document(spec.AsyncAPI))
	for path, file := range opsFiles {
		s.get(r, path, file.answer)
	}
	return r
}

func (s *Server) get(r *router.Router, path string, h handler) {
	r.GET(path, s.handle(h))
	r.HEAD(path, s.handle(h))
}

// open reports whether a path needs no token. It is to be asked with the path as
// the router sees it, undecoded: with the decoded one, what is /health here could
// be another route there.
func open(path []byte) bool {
	switch string(path) {
	case "/health", "/ready", "/metrics", "/openapi.yaml", "/asyncapi.yaml":
		return true
	case "/favicon.ico": // which there is not; browsers ask for it without a token
		return true
	}
	_, ok := opsFiles[string(path)]
	return ok
}

// guard is around everything: it turns away who has no token, before anything
// of the body is read, and keeps a panic from ending the process.
func (s *Server) guard(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if v := recover(); v != nil {
				s.panicked(string(ctx.Method()), string(ctx.Path()), v)
				ctx.Response.Reset()
				ctx.SetConnectionClose() // the body may be half read
				errPanicked.answer(ctx)
			}
		}()
		if !open(ctx.URI().PathOriginal()) {
			admin, ok := s.identify(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
			if !ok {
				s.turnAway(ctx)
				return
			}
			ctx.SetUserValue(adminKey, admin)
		}
		next(ctx)
	}
}

// identify returns whose token a request has in its Authorization header.
func (s *Server) identify(authorization []byte) (auth.Admin, bool) {
	token, ok := bearer(authorization)
	if !ok {
		return auth.Admin{}, false
	}
	return s.cfg.Admin.Identify(token)
}

// bearer returns the token in an Authorization header, and whether there is one.
func bearer(authorization []byte) (token []byte, ok bool) {
	scheme, token, _ := bytes.Cut(authorization, []byte(" "))
	return bytes.TrimSpace(token), bytes.EqualFold(scheme, []byte("Bearer"))
}

// turnAway answers a request without a token that is known.
func (s *Server) turnAway(ctx *fasthttp.RequestCtx) {
	s.cfg.Logger.Warn("internal listener: no valid admin token", "method", string(ctx.Method()),
		"remote", ctx.RemoteAddr().String())
	noToken().answer(ctx)
}

// panicked counts and logs a panic that was contained. It is called where that is
// recovered.
func (s *Server) panicked(method, path string, v any) {
	s.cfg.Node.Panics.WithLabelValues("internal").Inc()
	s.cfg.Logger.Error("internal error: a handler panicked", "method", method, "path", path,
		"panic", v, "stack", string(debug.Stack()))
}

// handle answers with the handler's error, if it has one.
func (s *Server) handle(h handler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		err := h(ctx)
		if err == nil {
			return
		}
		p, ok := errors.AsType[*problem](err)
		if !ok {
			p = unavailable("%v", err)
		}
		if p.status >= fasthttp.StatusInternalServerError {
			s.cfg.Logger.Warn("internal listener: request failed", "method", string(ctx.Method()),
				"path", string(ctx.Path()), "error", p.message)
		}
		p.answer(ctx)
	}
}

func noRoute(ctx *fasthttp.RequestCtx) error {
	return notFound("there is no %s", ctx.Path())
}

func wrongMethod(ctx *fasthttp.RequestCtx) error {
	return problemf(fasthttp.StatusMethodNotAllowed, codeMethodNotAllowed,
		"%s does not take %s; the header Allow names what it takes", ctx.Path(), ctx.Method())
}

func health(ctx *fasthttp.RequestCtx) error {
	answerJSON(ctx, fasthttp.StatusOK, []byte(`{"status":"ok"}`))
	return nil
}

// readyTimeout is shorter than the second after which Kubernetes gives up on a
// probe.
const readyTimeout = 900 * time.Millisecond

func (s *Server) ready(ctx *fasthttp.RequestCtx) error {
	c, cancel := context.WithTimeout(s.ctx, readyTimeout)
	defer cancel()
	if err := s.cfg.Ready(c); err != nil {
		return unavailable("%v", err)
	}
	answerJSON(ctx, fasthttp.StatusOK, []byte(`{"status":"ready"}`))
	return nil
}

func (s *Server) metrics() handler {
	h := fasthttpadaptor.NewFastHTTPHandler(s.cfg.Metrics)
	return func(ctx *fasthttp.RequestCtx) error {
		// The adaptor would read a body of any length, from anyone.
		_ = ctx.Request.CloseBodyStream()
		h(ctx)
		return nil
	}
}

// document returns a handler that answers with a YAML text.
func document(text string) handler {
	body := []byte(text) // shared by all answers; nobody writes to it
	return func(ctx *fasthttp.RequestCtx) error {
		ctx.SetContentType(typeYAML)
		ctx.Response.SetBodyRaw(body)
		return nil
	}
}
