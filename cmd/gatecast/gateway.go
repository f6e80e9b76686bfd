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

type gatewayCmd struct {
	Add    gatewayAddCmd    `cmd:"" help:"Register a gateway and print its token."`
	List   gatewayListCmd   `cmd:"" help:"List gateways."`
	Show   gatewayShowCmd   `cmd:"" help:"Show one gateway."`
	Remove gatewayRemoveCmd `cmd:"" help:"Remove a gateway and close its connections."`
}

type gatewayAddCmd struct {
	adminFlags
	Name  string   `arg:"" help:"Display name of the gateway."`
	ID    string   `name:"id" help:"Gateway id. None: a new UUID." placeholder:"ID"`
	Org   string   `help:"Id of the gateway's organization." placeholder:"ORG"`
	Group []string `help:"Group of the gateway; can be repeated." placeholder:"G" sep:"none"`
}

// Run registers a gateway.
func (c *gatewayAddCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodPost, "/gateways", struct {
		Name           string   `json:"name"`
		ID             string   `json:"id,omitempty"`
		OrganizationID string   `json:"organizationId,omitempty"`
		Groups         []string `json:"groups,omitempty"`
	}{c.Name, c.ID, c.Org, c.Group})
}

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
	out := bufio.NewWriter(w.out)
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

type gatewayShowCmd struct {
	adminFlags
	ID string `arg:"" help:"Gateway id."`
}

// Run shows a gateway.
func (c *gatewayShowCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodGet, pathOf("gateways", c.ID), nil)
}

type gatewayRemoveCmd struct {
	adminFlags
	ID string `arg:"" help:"Gateway id."`
}

// Run removes a gateway.
func (c *gatewayRemoveCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodDelete, pathOf("gateways", c.ID), nil)
}

type tokenCmd struct {
	Add    tokenAddCmd    `cmd:"" help:"Add a token to a gateway and print it."`
	List   tokenListCmd   `cmd:"" help:"List the tokens of a gateway."`
	Revoke tokenRevokeCmd `cmd:"" help:"Revoke a token and close its connections."`
}

type tokenAddCmd struct {
	adminFlags
	Gateway   string        `arg:"" help:"Gateway id."`
	ExpiresIn time.Duration `help:"Time until the token expires. None: never." placeholder:"TIME"`
}

// Run adds a token.
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

type tokenListCmd struct {
	adminFlags
	Gateway string `arg:"" help:"Gateway id."`
}

// Run lists tokens.
func (c *tokenListCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodGet, pathOf("gateways", c.Gateway, "tokens"), nil)
}

type tokenRevokeCmd struct {
	adminFlags
	Gateway string `arg:"" help:"Gateway id."`
	Token   string `arg:"" help:"Token id, from token list."`
}

// Run revokes a token.
func (c *tokenRevokeCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodDelete, pathOf("gateways", c.Gateway, "tokens", c.Token), nil)
}

type statsCmd struct {
	adminFlags
	Gateway string `help:"Id of a gateway, to show only its connections." placeholder:"ID"`
	Limit   int    `help:"Number of connections to show. None: all." placeholder:"N"`
	Cursor  string `help:"Cursor that the previous page ended with." placeholder:"CURSOR"`
}

// Run prints the stats.
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
