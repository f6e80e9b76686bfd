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

// A handler answers a request, or returns the error to answer with.
type handler func(*fasthttp.RequestCtx) error

// router returns the routes of the listener. Each route states who may use it:
// reader checks the read scope, audited checks the scope it is given and writes
// an audit line, the rest is public.
func (s *Server) router() *router.Router {
	r := router.New()
	// A path has one spelling. A redirect would make clients send a publish
	// twice.
	r.RedirectTrailingSlash, r.RedirectFixedPath = false, false
	r.NotFound = s.handle(unknownPath)
	r.MethodNotAllowed = s.handle(methodNotAllowed)

	r.POST(prefix+"/events", s.audited("publish", auth.ScopePublish, s.publish))
	s.get(r, prefix+"/events", s.reader(withParams(s.listEvents, "gatewayId", "type", "since", "limit")))
	s.get(r, prefix+"/events/{id}", s.reader(withParams(s.showEvent)))
	s.get(r, prefix+"/deliveries", s.reader(withParams(s.listDeliveries, "gatewayId", "status", "from", "to", "cursor", "limit")))
	s.get(r, prefix+"/messages", s.reader(withParams(s.listMessages, "after", "limit", "wait", "type")))
	s.get(r, prefix+"/stats", s.reader(withParams(s.showStats, "gatewayId", "scope", "cursor", "limit")))
	r.POST(prefix+"/gateways", s.audited("gateway.add", auth.ScopeAdmin, s.addGateway))
	s.get(r, prefix+"/gateways", withParams(s.listGateways, "cursor", "limit")) // it checks the scope
	s.get(r, prefix+"/gateways/{id}", s.reader(withParams(s.showGateway)))
	r.PUT(prefix+"/gateways/{id}", s.audited("gateway.put", auth.ScopeAdmin, s.putGateway))
	r.DELETE(prefix+"/gateways/{id}", s.audited("gateway.remove", auth.ScopeAdmin, s.removeGateway))
	r.POST(prefix+"/gateways/{id}/tokens", s.audited("token.add", auth.ScopeAdmin, s.addToken))
	s.get(r, prefix+"/gateways/{id}/tokens", s.reader(withParams(s.listTokens)))
	r.DELETE(prefix+"/gateways/{id}/tokens/{tokenId}", s.audited("token.revoke", auth.ScopeAdmin, s.revokeToken))
	r.DELETE(prefix+"/verified/{gatewayId}", s.audited("verified.revoke", auth.ScopeAdmin, s.revokeVerified))
	r.DELETE(prefix+"/connections/{connectionId}", s.audited("connection.close", auth.ScopeAdmin, s.closeConnection))

	s.get(r, "/health", health)
	s.get(r, "/ready", s.ready)
	s.get(r, "/metrics", s.metrics())
	s.get(r, "/openapi.yaml", serveDocument(spec.OpenAPI))
	s.get(r, "/asyncapi.yaml", serveDocument(spec.AsyncAPI))
	for path, file := range opsFiles {
		s.get(r, path, file.answer)
	}
	return r
}

// get adds a route for GET and HEAD. fasthttp drops the body of the answer to
// HEAD.
func (s *Server) get(r *router.Router, path string, h handler) {
	r.GET(path, s.handle(h))
	r.HEAD(path, s.handle(h))
}

// isPublic reports whether a path needs no admin token. The path must be the
// undecoded one that the router matches. With a decoded path, a path that is
// public here could match another route there.
func isPublic(path []byte) bool {
	switch string(path) {
	case "/health", "/ready", "/metrics", "/openapi.yaml", "/asyncapi.yaml":
		return true
	case "/favicon.ico": // not a route; browsers request it without a token, and a 401 would be logged each time
		return true
	}
	_, ok := opsFiles[string(path)]
	return ok
}

// guard wraps every route. It rejects requests without a valid admin token
// before any of the body is read, and turns a panic into a 500 answer.
func (s *Server) guard(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		// A panic outside of handle, for example in the router or in a
		// middleware.
		defer func() {
			if v := recover(); v != nil {
				s.logPanic(string(ctx.Method()), string(ctx.Path()), v)
				ctx.Response.Reset()
				ctx.SetConnectionClose() // part of the body may be unread
				errPanicked.answer(ctx)
			}
		}()
		if !isPublic(ctx.URI().PathOriginal()) {
			admin, ok := s.identify(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
			if !ok {
				s.rejectUnauthenticated(ctx)
				return
			}
			ctx.SetUserValue(adminKey, admin)
		}
		next(ctx)
	}
}

// identify returns the admin whose token is in the Authorization header.
func (s *Server) identify(authorization []byte) (auth.Admin, bool) {
	token, ok := bearer(authorization)
	if !ok {
		return auth.Admin{}, false
	}
	return s.cfg.Admin.Identify(token)
}

// bearer returns the token of an Authorization header with the scheme Bearer
// (RFC 6750 section 2.1). The scheme is not case-sensitive.
func bearer(authorization []byte) (token []byte, ok bool) {
	scheme, token, _ := bytes.Cut(authorization, []byte(" "))
	return bytes.TrimSpace(token), bytes.EqualFold(scheme, []byte("Bearer"))
}

// rejectUnauthenticated answers a request without a valid admin token, and logs
// it.
func (s *Server) rejectUnauthenticated(ctx *fasthttp.RequestCtx) {
	s.cfg.Logger.Warn("internal listener: no valid admin token", "method", string(ctx.Method()),
		"remote", ctx.RemoteAddr().String())
	missingToken().answer(ctx)
}

// logPanic counts and logs a panic. Call it in the deferred function that
// recovered, so that the stack is still there.
func (s *Server) logPanic(method, path string, v any) {
	s.cfg.Node.Panics.WithLabelValues("internal").Inc()
	s.cfg.Logger.Error("internal listener: handler panicked", "method", method, "path", path,
		"panic", v, "stack", string(debug.Stack()))
}

// handle runs a handler and answers with its error, if it returns one. Internal
// errors and unavailability are logged; errors of the client are not.
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

// unknownPath answers paths that have no route.
func unknownPath(ctx *fasthttp.RequestCtx) error {
	return notFound("no such path: %s", ctx.Path())
}

// methodNotAllowed answers methods that the path does not have. The router sets
// the header Allow.
func methodNotAllowed(ctx *fasthttp.RequestCtx) error {
	return problemf(fasthttp.StatusMethodNotAllowed, codeMethodNotAllowed,
		"%s does not support %s; use one of the methods in the header Allow", ctx.Path(), ctx.Method())
}

// health is GET /health: the process is running. It says nothing about the log.
func health(ctx *fasthttp.RequestCtx) error {
	answerJSON(ctx, fasthttp.StatusOK, []byte(`{"status":"ok"}`))
	return nil
}

// readyTimeout is less than one second, the default timeout of Kubernetes
// probes.
const readyTimeout = 900 * time.Millisecond

// ready is GET /ready: the node can accept gateways and reach its log.
func (s *Server) ready(ctx *fasthttp.RequestCtx) error {
	c, cancel := context.WithTimeout(s.ctx, readyTimeout)
	defer cancel()
	if err := s.cfg.Ready(c); err != nil {
		return unavailable("%v", err)
	}
	answerJSON(ctx, fasthttp.StatusOK, []byte(`{"status":"ready"}`))
	return nil
}

// metrics is GET /metrics, answered by the Prometheus handler of net/http.
func (s *Server) metrics() handler {
	h := fasthttpadaptor.NewFastHTTPHandler(s.cfg.Metrics)
	return func(ctx *fasthttp.RequestCtx) error {
		// The adaptor reads a request body of any length, and this route is
		// public.
		_ = ctx.Request.CloseBodyStream()
		h(ctx)
		return nil
	}
}

// serveDocument returns a handler that answers with a YAML document.
func serveDocument(text string) handler {
	body := []byte(text) // shared by all answers, read only
	return func(ctx *fasthttp.RequestCtx) error {
		ctx.SetContentType(typeYAML)
		ctx.Response.SetBodyRaw(body)
		return nil
	}
}
