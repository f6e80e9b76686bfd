// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
)

// gatewaysPage is how many gateways a list gives to who asks for no limit.
const gatewaysPage = 100

// A timestamp is a time as every answer writes it; the zero one is null.
type timestamp time.Time

// MarshalJSON implements [json.Marshaler].
func (t timestamp) MarshalJSON() ([]byte, error) { return event.AppendTime(nil, time.Time(t)), nil }

// addGateway is POST /gateways. The answer is the only place that ever shows the
// token.
func (s *Server) addGateway(ctx *fasthttp.RequestCtx) error {
	var req auth.NewGateway
	err := s.withBody(ctx, func(b []byte) (err error) {
		req, err = parseNewGateway(b)
		return err
	})
	if err != nil {
		return err
	}
	c, cancel := s.manageContext()
	defer cancel()
	g, tok, secret, err := s.cfg.Registry.Add(c, req)
	if err != nil {
		return registryProblem(err, codeInvalidGateway)
	}
	auditOf(ctx).add("gateway", g.ID, "token", tok.ID)
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

// parseNewGateway reads the body of a request for a gateway.
func parseNewGateway(body []byte) (g auth.NewGateway, err error) {
	err = decode(body, codeInvalidGateway, func(o *strict.Object, name string) bool {
		switch name {
		case "id":
			g.ID = o.String()
		case "name":
			g.Name = o.String()
		case "organizationId":
			g.OrganizationID = o.String()
		case "groups":
			if !o.Null() {
				g.Groups = o.Strings()
			}
		default:
			return false
		}
		return true
	})
	return g, err
}

// listGateways is GET /gateways.
func (s *Server) listGateways(ctx *fasthttp.RequestCtx) error {
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

// removeGateway is DELETE /gateways/{id}.
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

// endVerified is DELETE /verified/{gatewayId}. It takes any id: the platform need not
// know whether the gateway is here.
func (s *Server) revokeVerified(ctx *fasthttp.RequestCtx) error {
	if s.cfg.RevokeVerified == nil {
		return notFound("no tokens are verified by the platform here (--verify-url); those of the registry are revoked under /gateways/{id}/tokens")
	}
	id := pathParam(ctx, "gatewayId")
	if !event.ValidName(id) {
		return notFound("%q is no gateway's id", id)
	}
	c, cancel := s.manageContext()
	defer cancel()
	auditOf(ctx).add("gateway", id)
	if err := s.cfg.RevokeVerified(c, id); err != nil {
		return unavailable("not every node has taken the tokens of gateway %s back: %v; try again", id, err)
	}
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

// closeConnection is DELETE /connections/{connectionId}.
func (s *Server) closeConnection(ctx *fasthttp.RequestCtx) error {
	text := pathParam(ctx, "connectionId")
	id, err := uuid.Parse(text)
	if err != nil || id.String() != text { // Parse takes other spellings too
		return notFound("there is no connection %s", text)
	}
	c, cancel := s.manageContext()
	defer cancel()
	auditOf(ctx).add("connection", text)
	found, err := s.cfg.Connections.CloseConnection(c, id)
	if err != nil {
		return unavailable("the connection cannot be closed now: %v", err)
	}
	if !found {
		return notFound("there is no connection %s", text)
	}
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

// gatewayArg returns the gateway's id in the path, which no gateway can have if
// it is not a valid name.
func gatewayParam(ctx *fasthttp.RequestCtx) (string, error) {
	id := pathParam(ctx, "id")
	if !event.ValidName(id) {
		return "", unknownGateway(id)
	}
	return id, nil
}

func unknownGateway(id string) *problem { return notFound("there is no gateway %s", id) }

// notNil makes nil the empty list, which JSON tells from null.
func nonNil[T any](list []T) []T { return append([]T{}, list...) }

// manage returns the context of a change to the node.
func (s *Server) manageContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.ctx, s.limits.manage)
}

// noStore keeps an answer with a secret out of caches.
func noStore(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
}
