// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// A gatewayCmd groups the commands about registered gateways.
type gatewayCmd struct {
	Add    gatewayAddCmd    `cmd:"" help:"Register a gateway and print its token."`
	List   gatewayListCmd   `cmd:"" help:"List gateways."`
	Show   gatewayShowCmd   `cmd:"" help:"Show one gateway."`
	Remove gatewayRemoveCmd `cmd:"" help:"Remove a gateway and close its connections."`
	Import gatewayImportCmd `cmd:"" help:"Register many gateways with the tokens that they have."`
	Export gatewayExportCmd `cmd:"" help:"Print all gateways with the SHA-256 of their tokens."`
}

// A gatewayAddCmd registers a gateway: POST /gateways. The response has the token in clear
// text. The node stores only its SHA-256, so the token cannot be shown again.
type gatewayAddCmd struct {
	adminFlags
	Name  string   `arg:"" help:"Display name of the gateway."`
	ID    string   `name:"id" help:"Gateway id. None: a new UUID." placeholder:"ID"`
	Org   string   `help:"Id of the gateway's organization." placeholder:"ORG"`
	Group []string `help:"Group of the gateway; can be repeated." placeholder:"G" sep:"none"` // no sep: the node reports a comma as an invalid name
}

// Run registers a gateway. Members without a value are left out, so that the node applies
// its defaults.
func (c *gatewayAddCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodPost, "/gateways", struct {
		Name           string   `json:"name"`
		ID             string   `json:"id,omitempty"`
		OrganizationID string   `json:"organizationId,omitempty"`
		Groups         []string `json:"groups,omitempty"`
	}{c.Name, c.ID, c.Org, c.Group})
}

// A gatewayListCmd lists gateways: GET /gateways. It prints one JSON object whatever the number
// of pages, with a cursor if --limit ended the list.
type gatewayListCmd struct {
	adminFlags
	Limit  int    `help:"Number of gateways to list. None: all." placeholder:"N"`
	Cursor string `help:"Cursor that the previous list ended with." placeholder:"CURSOR"`
}

// listPage is the number of gateways per request.
const listPage = 1000

// Run lists gateways page by page, so that a million of them need no memory here.
func (c *gatewayListCmd) Run(ctx context.Context, w world) error {
	if c.Limit < 0 {
		return &usageError{fmt.Errorf("--limit: %d is out of range; want at least 1, or 0 for all", c.Limit)}
	}
	out := bufio.NewWriter(w.out) // keeps the first error, which Flush returns
	cursor, printed := c.Cursor, 0
	for first := true; first || cursor != "" && (c.Limit == 0 || printed < c.Limit); first = false {
		page, err := c.page(ctx, cursor, printed)
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		if first { // an error of the first request must not follow the beginning of a list
			_, _ = out.WriteString("{\n  \"gateways\": [") // Flush reports errors
		}
		if err := writeList(out, page.Gateways, printed == 0); err != nil {
			return err
		}
		printed += len(page.Gateways)
		cursor = page.Cursor
	}
	if printed > 0 {
		_, _ = out.WriteString("\n  ")
	}
	_, _ = out.WriteString("]")
	if cursor != "" {
		fmt.Fprintf(out, ",\n  \"cursor\": %q", cursor)
	}
	_, _ = out.WriteString("\n}\n")
	return out.Flush()
}

// A gatewayPage is a response of the route that lists gateways.
type gatewayPage struct {
	Gateways []json.RawMessage `json:"gateways"`
	Cursor   string            `json:"cursor"` // empty at the end
}

// page fetches the gateways after a cursor, "" for the first ones. printed is how many have
// been printed, which bounds the size of the last page.
func (c *gatewayListCmd) page(ctx context.Context, cursor string, printed int) (p gatewayPage, err error) {
	size := listPage
	if c.Limit > 0 {
		size = min(size, c.Limit-printed)
	}
	q := url.Values{"limit": {strconv.Itoa(size)}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	response, err := c.do(ctx, http.MethodGet, apiRoot+"/gateways?"+q.Encode(), "", nil)
	if err != nil {
		return p, err
	}
	defer response.Close()
	if err := json.NewDecoder(response).Decode(&p); err != nil {
		return p, fmt.Errorf("the node's response is not a page of gateways: %w", err)
	}
	return p, nil
}

// writeList writes elements of a JSON list that is indented by two levels. The caller
// writes the brackets.
func writeList(out *bufio.Writer, elements []json.RawMessage, first bool) error {
	var b bytes.Buffer
	for _, e := range elements {
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.WriteString("\n    ")
		if err := json.Indent(&b, e, "    ", "  "); err != nil {
			return fmt.Errorf("the node's response is not a page of gateways: %w", err)
		}
	}
	_, err := b.WriteTo(out)
	return err
}

// A gatewayShowCmd shows a gateway: GET /gateways/ID.
type gatewayShowCmd struct {
	adminFlags
	ID string `arg:"" help:"Gateway id."`
}

// Run shows a gateway.
func (c *gatewayShowCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodGet, pathOf("gateways", c.ID), nil)
}

// A gatewayRemoveCmd removes a gateway: DELETE /gateways/ID. The nodes close its connections
// with 1008, which tells a gateway not to reconnect with this token.
type gatewayRemoveCmd struct {
	adminFlags
	ID string `arg:"" help:"Gateway id."`
}

// Run removes a gateway.
func (c *gatewayRemoveCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodDelete, pathOf("gateways", c.ID), nil)
}

// A tokenCmd groups the commands about tokens. A gateway can have two tokens, so that its
// replicas can be moved to a new one before the old one is revoked.
type tokenCmd struct {
	Add    tokenAddCmd    `cmd:"" help:"Add a token to a gateway and print it."`
	List   tokenListCmd   `cmd:"" help:"List the tokens of a gateway."`
	Revoke tokenRevokeCmd `cmd:"" help:"Revoke a token and close its connections."`
}

// A tokenAddCmd adds a token: POST /gateways/ID/tokens. The node refuses a third one with 409.
type tokenAddCmd struct {
	adminFlags
	Gateway   string        `arg:"" help:"Gateway id."`
	ExpiresIn time.Duration `help:"Time until the token expires. None: never." placeholder:"TIME"`
}

// Run adds a token. The expiry is a time on this machine's clock; the node compares it with
// its own.
func (c *tokenAddCmd) Run(ctx context.Context, w world) error {
	var body struct {
		ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	}
	switch {
	case c.ExpiresIn < 0:
		return &usageError{fmt.Errorf("--expires-in: %v is in the past; want a time above 0", c.ExpiresIn)}
	case c.ExpiresIn > 0:
		body.ExpiresAt = new(time.Now().Add(c.ExpiresIn).UTC())
	}
	return c.call(ctx, w, http.MethodPost, pathOf("gateways", c.Gateway, "tokens"), body)
}

// A tokenListCmd lists tokens: GET /gateways/ID/tokens. It shows ids and times, not tokens.
type tokenListCmd struct {
	adminFlags
	Gateway string `arg:"" help:"Gateway id."`
}

// Run lists tokens.
func (c *tokenListCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodGet, pathOf("gateways", c.Gateway, "tokens"), nil)
}

// A tokenRevokeCmd revokes a token: DELETE /gateways/ID/tokens/TOKEN. The nodes close the
// connections that authenticated with it.
type tokenRevokeCmd struct {
	adminFlags
	Gateway string `arg:"" help:"Gateway id."`
	Token   string `arg:"" help:"Token id, from token list."`
}

// Run revokes a token.
func (c *tokenRevokeCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodDelete, pathOf("gateways", c.Gateway, "tokens", c.Token), nil)
}

// A statsCmd prints stats: GET /stats of one node.
type statsCmd struct {
	adminFlags
	Gateway string `help:"Id of a gateway, to show only its connections." placeholder:"ID"`
	Limit   int    `help:"Number of connections to show. None: all." placeholder:"N"`
	Cursor  string `help:"Cursor that the previous page ended with." placeholder:"CURSOR"`
}

// Run prints the stats. The node validates the limit.
func (c *statsCmd) Run(ctx context.Context, w world) error {
	q := url.Values{}
	for name, value := range map[string]string{"gatewayId": c.Gateway, "cursor": c.Cursor} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if c.Limit != 0 {
		q.Set("limit", strconv.Itoa(c.Limit))
	}
	return c.call(ctx, w, http.MethodGet, "/stats?"+q.Encode(), nil)
}
