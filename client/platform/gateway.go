// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// A NewGateway is a gateway to register. Only Name is required.
type NewGateway struct {
	Name           string   `json:"name"`                     // for people
	ID             string   `json:"id,omitempty"`             // "" means a new UUID
	OrganizationID string   `json:"organizationId,omitempty"` // "" means none
	Groups         []string `json:"groups,omitempty"`         // that events can be published to
}

// A Gateway is a registered gateway.
type Gateway struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	OrganizationID string    `json:"organizationId"`
	Groups         []string  `json:"groups"`
	CreatedAt      time.Time `json:"createdAt"`
}

// An AddedGateway is a gateway that was registered, and its first token.
type AddedGateway struct {
	Gateway
	Token   string `json:"token"` // the secret that the gateway connects with; it is not shown again
	TokenID string `json:"tokenId"`
}

// AddGateway registers a gateway. It sends the request once: if no response comes, the gateway may
// be registered, and its token is lost. Then remove it, or add another token.
func (c *Client) AddGateway(ctx context.Context, g NewGateway) (AddedGateway, error) {
	var added AddedGateway
	err := c.once(ctx, c.cfg.AttemptTimeout, func(ctx context.Context) error {
		return c.call(ctx, http.MethodPost, "/gateways", &g, &added)
	})
	return added, err
}

// Gateway returns a registered gateway. An unknown id is an [*Error] with the code "not_found".
func (c *Client) Gateway(ctx context.Context, id string) (Gateway, error) {
	var g Gateway
	err := c.get(ctx, pathOf("gateways", id), &g)
	return g, err
}

// get fetches the JSON of a path, with retries.
func (c *Client) get(ctx context.Context, path string, out any) error {
	return c.retry(ctx, c.cfg.AttemptTimeout, func(ctx context.Context) error {
		return c.call(ctx, http.MethodGet, path, nil, out)
	})
}

// gatewaysPage is the number of gateways per request.
const gatewaysPage = "1000"

// Gateways iterates over the registered gateways in the order of their ids, a page at a time. An
// error is the last element.
func (c *Client) Gateways(ctx context.Context) iter.Seq2[Gateway, error] {
	return func(yield func(Gateway, error) bool) {
		q := url.Values{"limit": {gatewaysPage}}
		for {
			var page struct {
				Gateways []Gateway `json:"gateways"`
				Cursor   string    `json:"cursor"` // "" at the end
			}
			if err := c.get(ctx, "/gateways?"+q.Encode(), &page); err != nil {
				yield(Gateway{}, err)
				return
			}
			for _, g := range page.Gateways {
				if !yield(g, nil) {
					return
				}
			}
			if page.Cursor == "" {
				return
			}
			q.Set("cursor", page.Cursor)
		}
	}
}

// RemoveGateway removes a gateway. Its connections are closed with code 1008.
func (c *Client) RemoveGateway(ctx context.Context, id string) error {
	return c.remove(ctx, pathOf("gateways", id))
}

// remove deletes a path, with retries. A path that does not exist is an error at the first attempt
// only: a later one may find that the first had succeeded.
func (c *Client) remove(ctx context.Context, path string) error {
	repeated := false
	return c.retry(ctx, c.cfg.AttemptTimeout, func(ctx context.Context) error {
		err := c.call(ctx, http.MethodDelete, path, nil, nil)
		if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound && repeated {
			return nil
		}
		repeated = true
		return err
	})
}

// A Token is a token of a gateway, without its secret.
type Token struct {
	ID         string    `json:"id"`
	CreatedAt  time.Time `json:"createdAt"`
	ExpiresAt  time.Time `json:"expiresAt"`  // zero: never
	LastUsedAt time.Time `json:"lastUsedAt"` // zero: never
}

// An AddedToken is a token that was created.
type AddedToken struct {
	ID        string    `json:"id"`
	Token     string    `json:"token"` // the secret; it is not shown again
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"` // zero: never
}

// AddToken adds a token to a gateway, which expires at expires or, if that is zero, never. A third
// live token is an [*Error] with the code "conflict". It sends the request once: if no response
// comes, the token may exist. Then revoke it.
func (c *Client) AddToken(ctx context.Context, gatewayID string, expires time.Time) (AddedToken, error) {
	var in struct {
		ExpiresAt time.Time `json:"expiresAt,omitzero"`
	}
	in.ExpiresAt = expires.UTC()
	var added AddedToken
	err := c.once(ctx, c.cfg.AttemptTimeout, func(ctx context.Context) error {
		return c.call(ctx, http.MethodPost, pathOf("gateways", gatewayID, "tokens"), &in, &added)
	})
	return added, err
}

// Tokens returns the live tokens of a gateway.
func (c *Client) Tokens(ctx context.Context, gatewayID string) ([]Token, error) {
	var list struct {
		Tokens []Token `json:"tokens"`
	}
	err := c.get(ctx, pathOf("gateways", gatewayID, "tokens"), &list)
	return list.Tokens, err
}

// RevokeToken revokes a token. The connections that use it are closed with code 1008.
func (c *Client) RevokeToken(ctx context.Context, gatewayID, tokenID string) error {
	return c.remove(ctx, pathOf("gateways", gatewayID, "tokens", tokenID))
}
