// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"log/slog"

	"github.com/gatecast/gatecast/auth"

	"github.com/valyala/fasthttp"
)

// Keys of what belongs to a request.
const (
	adminKey = "admin" // an auth.Admin: who asks
	auditKey = "act"   // the *act that the request is
)

// An act is a request that changes something. What became of it is a line of the log
// of its own, with who did it; never with a token's text.
type auditRecord struct {
	action   string
	admin    string
	remote   string
	attrs    []any // of the line
	deferred bool  // whoever streams the answer writes the line
}

// reads is a handler for those who may read.
func (s *Server) reader(h handler) handler {
	return func(ctx *fasthttp.RequestCtx) error {
		if err := requireScope(ctx, auth.ScopeRead); err != nil {
			return err
		}
		return h(ctx)
	}
}

// act is a handler that changes something, for those who have the scope. It takes no
// parameters.
func (s *Server) audited(what string, scope auth.Scope, h handler) fasthttp.RequestHandler {
	h = withParams(h)
	return s.handle(func(ctx *fasthttp.RequestCtx) (err error) {
		admin, _ := ctx.UserValue(adminKey).(auth.Admin)
		a := &auditRecord{action: what, admin: admin.Name, remote: ctx.RemoteAddr().String()}
		ctx.SetUserValue(auditKey, a)
		err = errPanicked // unless it returns
		defer func() {
			if !a.deferred {
				s.logAudit(a, err)
			}
		}()
		if err = requireScope(ctx, scope); err == nil {
			err = h(ctx)
		}
		return err
	})
}

// errPanicked is the problem with a request whose handler panicked.
var errPanicked = problemf(fasthttp.StatusInternalServerError, codeInternal,
	"something went wrong here; the log of the node tells what")

// allowed returns the problem with a caller who does not have a scope.
func requireScope(ctx *fasthttp.RequestCtx, scope auth.Scope) error {
	admin, _ := ctx.UserValue(adminKey).(auth.Admin)
	if admin.HasScope(scope) {
		return nil
	}
	return problemf(fasthttp.StatusForbidden, codeForbidden, "the token of %s does not have the scope %s that this needs", admin.Name, scope)
}

// actOf returns the act that a request is.
func auditOf(ctx *fasthttp.RequestCtx) *auditRecord { return ctx.UserValue(auditKey).(*auditRecord) }

// note adds names and values to the act's line.
func (a *auditRecord) add(pairs ...any) { a.attrs = append(a.attrs, pairs...) }

// audit writes the line of an act.
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
