// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"log/slog"

	"github.com/gatecast/gatecast/auth"

	"github.com/valyala/fasthttp"
)

// Keys of request values, see [fasthttp.RequestCtx.SetUserValue].
const (
	adminKey = "admin" // auth.Admin: who sends the request
	auditKey = "act"   // *auditRecord: the audit line of the request
)

// An auditRecord becomes the audit line of a request that changes something:
// who did what from where, and how it ended. It never holds a token. One
// goroutine at a time uses it: the handler's, or the one that took it over
// (deferred).
type auditRecord struct {
	action   string // such as "gateway.add"
	admin    string // name of the admin token
	remote   string
	attrs    []any // pairs of name and value, as of [slog.Logger.Info]
	deferred bool  // the goroutine that streams the answer writes the line
}

// reader wraps a handler that needs the scope read.
func (s *Server) reader(h handler) handler {
	return func(ctx *fasthttp.RequestCtx) error {
		if err := requireScope(ctx, auth.ScopeRead); err != nil {
			return err
		}
		return h(ctx)
	}
}

// audited wraps a handler that changes something. It checks the scope, refuses
// query parameters, and writes an audit line however the handler ends.
func (s *Server) audited(what string, scope auth.Scope, h handler) fasthttp.RequestHandler {
	return s.handle(s.auditing(what, scope, withParams(h)))
}

// auditing wraps a handler that changes something or hands out secrets. It checks
// the scope, and writes an audit line however the handler ends.
func (s *Server) auditing(what string, scope auth.Scope, h handler) handler {
	return func(ctx *fasthttp.RequestCtx) (err error) {
		admin, _ := ctx.UserValue(adminKey).(auth.Admin)
		a := &auditRecord{action: what, admin: admin.Name, remote: ctx.RemoteAddr().String()}
		ctx.SetUserValue(auditKey, a)
		err = errPanicked // stays if the handler panics
		defer func() {
			if !a.deferred {
				s.logAudit(a, err)
			}
		}()
		if err = requireScope(ctx, scope); err == nil {
			err = h(ctx)
		}
		return err
	}
}

// errPanicked is the answer to a request whose handler panicked.
var errPanicked = problemf(fasthttp.StatusInternalServerError, codeInternal,
	"internal error; see the log of the node")

// requireScope returns a 403 problem unless the admin token of the request has
// the scope.
func requireScope(ctx *fasthttp.RequestCtx, scope auth.Scope) error {
	admin, _ := ctx.UserValue(adminKey).(auth.Admin)
	if admin.HasScope(scope) {
		return nil
	}
	return problemf(fasthttp.StatusForbidden, codeForbidden, "the admin token %s lacks the scope %s", admin.Name, scope)
}

// auditOf returns the audit record of a request. Only handlers wrapped by
// audited have one.
func auditOf(ctx *fasthttp.RequestCtx) *auditRecord { return ctx.UserValue(auditKey).(*auditRecord) }

// add adds pairs of name and value to the line.
func (a *auditRecord) add(pairs ...any) { a.attrs = append(a.attrs, pairs...) }

// logAudit writes the audit line. The outcome is "ok" or the error code of the
// answer.
func (s *Server) logAudit(a *auditRecord, err error) {
	outcome := "ok"
	if err != nil {
		outcome = codeUnavailable
		if p, ok := errors.AsType[*problem](err); ok {
			outcome = p.code
		}
	}
	s.cfg.Logger.Info("audit", append([]any{
		slog.String("action", a.action), slog.String("admin", a.admin), slog.String("remote", a.remote), slog.String("outcome", outcome),
	}, a.attrs...)...)
}
