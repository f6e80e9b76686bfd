// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
)

// gatewaysPage is the default number of gateways in a list.
const gatewaysPage = 100

// A timestamp is a time in an answer: RFC 3339 with nanoseconds in UTC. Zero
// becomes null.
type timestamp time.Time

// MarshalJSON implements [json.Marshaler].
func (t timestamp) MarshalJSON() ([]byte, error) { return event.AppendTime(nil, time.Time(t)), nil }

// addGateway is POST /gateways. The token that it makes appears in this answer and
// nowhere else.
func (s *Server) addGateway(ctx *fasthttp.RequestCtx) error {
	if ctx.Request.Header.ContentLength() != 0 { // else the type does not matter
		mediaType, err := bodyType(ctx, typeJSON, typeNDJSON)
		if err != nil {
			return err
		}
		if mediaType == typeNDJSON {
			s.importGateways(ctx)
			return nil
		}
	}
	var req gatewayBody
	err := s.withBody(ctx, func(b []byte) (err error) {
		req, err = parseGateway(b)
		return err
	})
	if err != nil {
		return err
	}
	c, cancel := s.manageContext()
	defer cancel()
	g, tok, secret, err := s.cfg.Registry.Add(c, req.newGateway())
	if err != nil {
		return registryProblem(err, codeInvalidGateway)
	}
	auditOf(ctx).add("gateway", g.ID)
	if req.change.Tokens != nil { // the platform has made its tokens
		return answer(ctx, fasthttp.StatusCreated, g)
	}
	auditOf(ctx).add("token", tok.ID)
	noStore(ctx)
	return answer(ctx, fasthttp.StatusCreated, struct {
		ID             string    `json:"id"`
		Name           string    `json:"name"`
		OrganizationID string    `json:"organizationId"`
		Groups         []string  `json:"groups"`
		CreatedAt      timestamp `json:"createdAt"`
		Token          string    `json:"token"`
		TokenID        string    `json:"tokenId"`
	}{g.ID, g.Name, g.OrganizationID, nonNil(g.Groups), timestamp(g.CreatedAt), secret, tok.ID})
}

// listGateways is GET /gateways: as pages of JSON, or all as newline-delimited
// JSON.
func (s *Server) listGateways(ctx *fasthttp.RequestCtx) error {
	if acceptsNDJSON(ctx) {
		for _, name := range []string{"limit", "cursor"} {
			if _, given := param(ctx, name); given {
				return badParam(name, "is for pages of JSON; newline-delimited JSON has all gateways")
			}
		}
		return s.auditing("gateway.export", auth.ScopeAdmin, s.exportGateways)(ctx)
	}
	if err := requireScope(ctx, auth.ScopeRead); err != nil {
		return err
	}
	limit, err := limitParam(ctx, gatewaysPage)
	if err != nil {
		return err
	}
	after, _ := param(ctx, "cursor")
	if after != "" && !event.ValidName(after) {
		return badParam("cursor", ErrCursor.Error())
	}
	page, next := s.cfg.Registry.List(after, limit)
	return answer(ctx, fasthttp.StatusOK, struct {
		Gateways []auth.Gateway `json:"gateways"`
		Cursor   string         `json:"cursor,omitempty"`
	}{nonNil(page), next})
}

// showGateway is GET /gateways/{id}.
func (s *Server) showGateway(ctx *fasthttp.RequestCtx) error {
	id, err := gatewayParam(ctx)
	if err != nil {
		return err
	}
	g, ok := s.cfg.Registry.Get(id)
	if !ok {
		return unknownGateway(id)
	}
	return answer(ctx, fasthttp.StatusOK, g)
}

// removeGateway is DELETE /gateways/{id}. Its tokens are revoked, its
// connections closed.
func (s *Server) removeGateway(ctx *fasthttp.RequestCtx) error {
	id, err := gatewayParam(ctx)
	if err != nil {
		return err
	}
	c, cancel := s.manageContext()
	defer cancel()
	auditOf(ctx).add("gateway", id)
	if err := s.cfg.Registry.Remove(c, id); err != nil {
		return registryProblem(err, codeInvalidGateway)
	}
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

// revokeVerified is DELETE /verified/{gatewayId}. It accepts any id: the
// platform need not know whether a gateway has connected here.
func (s *Server) revokeVerified(ctx *fasthttp.RequestCtx) error {
	if s.cfg.RevokeVerified == nil {
		return notFound("the platform does not verify tokens here (--verify-url is not set); revoke tokens of the registry with DELETE /gateways/{id}/tokens/{tokenId}")
	}
	id := pathParam(ctx, "gatewayId")
	if !event.ValidName(id) {
		return notFound("%q is not a valid gateway id", id)
	}
	c, cancel := s.manageContext()
	defer cancel()
	auditOf(ctx).add("gateway", id)
	if err := s.cfg.RevokeVerified(c, id); err != nil {
		return unavailable("not every node has revoked the verified tokens of gateway %s: %v; try again", id, err)
	}
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

// closeConnection is DELETE /connections/{connectionId}. The connection may be
// on any node.
func (s *Server) closeConnection(ctx *fasthttp.RequestCtx) error {
	text := pathParam(ctx, "connectionId")
	id, err := uuid.Parse(text)
	if err != nil || id.String() != text { // Parse also accepts other spellings
		return unknownConnection(text)
	}
	c, cancel := s.manageContext()
	defer cancel()
	auditOf(ctx).add("connection", text)
	found, err := s.cfg.Connections.CloseConnection(c, id)
	if err != nil {
		return unavailable("cannot close the connection: %v", err)
	}
	if !found {
		return unknownConnection(text)
	}
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

// gatewayParam returns the gateway id in the path. An invalid id is answered
// like one that is not registered.
func gatewayParam(ctx *fasthttp.RequestCtx) (string, error) {
	id := pathParam(ctx, "id")
	if !event.ValidName(id) {
		return "", unknownGateway(id)
	}
	return id, nil
}

func unknownGateway(id string) *problem { return notFound("gateway %s is not registered", id) }

func unknownConnection(id string) *problem { return notFound("no connection has the id %s", id) }

// nonNil returns list, or an empty list instead of nil: JSON has [] for one and
// null for the other.
func nonNil[T any](list []T) []T { return append([]T{}, list...) }

// manageContext returns the context for a change of the registry or of
// connections.
func (s *Server) manageContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.ctx, s.limits.manage)
}

// noStore keeps an answer that contains a token out of caches. All answers have
// this header (see headers.go); here it is part of the documented answer.
func noStore(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
}
