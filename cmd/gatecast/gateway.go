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
	Add    gatewayAddCmd    `cmd:"" help:"Register a gateway; prints its id and its token, which is shown only now."`
	List   gatewayListCmd   `cmd:"" help:"List gateways."`
	Show   gatewayShowCmd   `cmd:"" help:"Show one gateway."`
	Remove gatewayRemoveCmd `cmd:"" help:"Remove a gateway; its connections are closed."`
}

type gatewayAddCmd struct {
	adminFlags
	Name  string   `arg:"" help:"A name for people."`
	ID    string   `name:"id" help:"The gateway's id. Default: a new UUID." placeholder:"ID"`
	Org   string   `help:"Its organization's id." placeholder:"ORG"`
	Group []string `help:"A group it is in; may be repeated." placeholder:"G" sep:"none"`
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
	Limit  int    `help:"How many, at most. Default: all." placeholder:"N"`
	Cursor string `help:"Where the last list ended." placeholder:"CURSOR"`
}

// listPage is how many gateways are asked for at once.
const listPage = 1000

// Run lists gateways, page by page: there may be a million.
func (c *gatewayListCmd) Run(ctx context.Context, w world) error {
	if c.Limit < 0 {
		return &usageError{fmt.Errorf("--limit: %d is below 0", c.Limit)}
	}
	out := bufio.NewWriter(w.out)
	cursor, printed := c.Cursor, 0
	for first := true; first || cursor != "" && (c.Limit == 0 || printed < c.Limit); first = false {
		page, err := c.page(ctx, cursor, printed)
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		if first { // not before there is an answer
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

// A gatewayPage is an answer of the route that lists gateways.
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
	answer, err := c.do(ctx, http.MethodGet, apiRoot+"/gateways?"+q.Encode(), "", nil)
	if err != nil {
		return p, err
	}
	defer answer.Close()
	if err := json.NewDecoder(answer).Decode(&p); err != nil {
		return p, fmt.Errorf("the node's answer is not as expected: %w", err)
	}
	return p, nil
}

// writeList writes the elements of a JSON list that is indented by two.
func writeList(out *bufio.Writer, elements []json.RawMessage, first bool) error {
	var b bytes.Buffer
	for _, e := range elements {
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.WriteString("\n    ")
		if err := json.Indent(&b, e, "    ", "  "); err != nil {
			return fmt.Errorf("the node's answer is not as expected: %w", err)
		}
	}
	_, err := b.WriteTo(out)
	return err
}

type gatewayShowCmd struct {
	adminFlags
	ID string `arg:"" help:"The gateway's id."`
}

// Run shows a gateway.
func (c *gatewayShowCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodGet, pathOf("gateways", c.ID), nil)
}

type gatewayRemoveCmd struct {
	adminFlags
	ID string `arg:"" help:"The gateway's id."`
}

// Run removes a gateway.
func (c *gatewayRemoveCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodDelete, pathOf("gateways", c.ID), nil)
}

type tokenCmd struct {
	Add    tokenAddCmd    `cmd:"" help:"Make a second token for a gateway; it is shown only now."`
	List   tokenListCmd   `cmd:"" help:"List a gateway's tokens."`
	Revoke tokenRevokeCmd `cmd:"" help:"Revoke a token; its connections are closed."`
}

type tokenAddCmd struct {
	adminFlags
	Gateway   string        `arg:"" help:"The gateway's id."`
	ExpiresIn time.Duration `help:"Time until it expires. Default: it does not." placeholder:"TIME"`
}

// Run makes a token.
func (c *tokenAddCmd) Run(ctx context.Context, w world) error {
	var body struct {
		ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	}
	switch {
	case c.ExpiresIn < 0:
		return &usageError{fmt.Errorf("--expires-in: %v is in the past", c.ExpiresIn)}
	case c.ExpiresIn > 0:
		body.ExpiresAt = new(time.Now().Add(c.ExpiresIn).UTC())
	}
	return c.call(ctx, w, http.MethodPost, pathOf("gateways", c.Gateway, "tokens"), body)
}

type tokenListCmd struct {
	adminFlags
	Gateway string `arg:"" help:"The gateway's id."`
}

// Run lists tokens.
func (c *tokenListCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodGet, pathOf("gateways", c.Gateway, "tokens"), nil)
}

type tokenRevokeCmd struct {
	adminFlags
	Gateway string `arg:"" help:"The gateway's id."`
	Token   string `arg:"" help:"The token's id, as token list prints it."`
}

// Run revokes a token.
func (c *tokenRevokeCmd) Run(ctx context.Context, w world) error {
	return c.call(ctx, w, http.MethodDelete, pathOf("gateways", c.Gateway, "tokens", c.Token), nil)
}

type statsCmd struct {
	adminFlags
	Gateway string `help:"Only this gateway's connections." placeholder:"ID"`
	Limit   int    `help:"How many connections, at most. Default: all." placeholder:"N"`
	Cursor  string `help:"Where the last page ended." placeholder:"CURSOR"`
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
