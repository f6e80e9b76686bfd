// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/valyala/fasthttp"
)

// A tokenJSON is a token in a list. It has no secret.
type tokenJSON struct {
	ID         string    `json:"id"`
	CreatedAt  timestamp `json:"createdAt"`
	ExpiresAt  timestamp `json:"expiresAt"`  // null: never expires
	LastUsedAt timestamp `json:"lastUsedAt"` // null: never used
}

func toTokenJSON(t auth.Token) tokenJSON {
	return tokenJSON{t.ID, timestamp(t.CreatedAt), timestamp(t.ExpiresAt), timestamp(t.LastUsedAt)}
}

// addToken is POST /gateways/{id}/tokens. The token appears in this answer and
// nowhere else.
func (s *Server) addToken(ctx *fasthttp.RequestCtx) error {
	id, err := gatewayParam(ctx)
	if err != nil {
		return err
	}
	var expiresAt time.Time
	err = s.withBody(ctx, func(b []byte) (err error) {
		expiresAt, err = parseExpiry(b)
		return err
	})
	if err != nil {
		return err
	}
	c, cancel := s.manageContext()
	defer cancel()
	auditOf(ctx).add("gateway", id)
	tok, secret, err := s.cfg.Registry.AddToken(c, id, expiresAt)
	if err != nil {
		return registryProblem(err, codeInvalidToken)
	}
	auditOf(ctx).add("token", tok.ID)
	noStore(ctx)
	return answer(ctx, fasthttp.StatusCreated, struct {
		ID        string    `json:"id"`
		Token     string    `json:"token"`
		CreatedAt timestamp `json:"createdAt"`
		ExpiresAt timestamp `json:"expiresAt"`
	}{tok.ID, secret, timestamp(tok.CreatedAt), timestamp(tok.ExpiresAt)})
}

// parseExpiry reads the body of POST /gateways/{id}/tokens. An empty body, and
// one without expiresAt, asks for a token that never expires: the zero time.
func parseExpiry(body []byte) (at time.Time, err error) {
	if len(bytes.TrimSpace(strict.TrimBOM(body))) == 0 {
		return at, nil
	}
	// An expiresAt of null is the same as none.
	err = decode(body, codeInvalidToken, func(o *strict.Object, name string) bool {
		if name != "expiresAt" || o.Null() {
			return name == "expiresAt"
		}
		var err error
		if at, err = strict.Time(o.String()); err != nil {
			o.Fail(err.Error() + ", or null")
		}
		if at.IsZero() { // zero means never
			at = at.Add(1)
		}
		return true
	})
	return at, err
}

// listTokens is GET /gateways/{id}/tokens.
func (s *Server) listTokens(ctx *fasthttp.RequestCtx) error {
	id, err := gatewayParam(ctx)
	if err != nil {
		return err
	}
	tokens, err := s.cfg.Registry.Tokens(id)
	if err != nil {
		return registryProblem(err, codeInvalidToken)
	}
	list := struct {
		Tokens []tokenJSON `json:"tokens"`
	}{make([]tokenJSON, 0, len(tokens))}
	for _, t := range tokens {
		list.Tokens = append(list.Tokens, toTokenJSON(t))
	}
	return answer(ctx, fasthttp.StatusOK, list)
}

// revokeToken is DELETE /gateways/{id}/tokens/{tokenId}. Connections that use
// the token are closed on every node.
func (s *Server) revokeToken(ctx *fasthttp.RequestCtx) error {
	id, err := gatewayParam(ctx)
	if err != nil {
		return err
	}
	c, cancel := s.manageContext()
	defer cancel()
	auditOf(ctx).add("gateway", id)
	token := pathParam(ctx, "tokenId")
	if err := s.cfg.Registry.RevokeToken(c, id, token); err != nil {
		return registryProblem(err, codeInvalidToken)
	}
	auditOf(ctx).add("token", token) // only now: before, a client might have sent a secret by mistake
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}
