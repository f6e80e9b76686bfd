// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/strict"
)

// A gatewayBody is a gateway in a request: of POST and PUT, and of a line of an
// import. A null of other members than id and name is the same as none.
type gatewayBody struct {
	id     string // empty: not given
	change auth.GatewayChange
}

// parseGateway reads a gateway.
func parseGateway(body []byte) (g gatewayBody, err error) {
	var inTokens *event.FieldError
	err = decode(body, codeInvalidGateway, func(o *strict.Object, name string) bool {
		switch name {
		case "id", "name", "organizationId", "groups", "createdAt", "tokens":
		default:
			return false
		}
		if name != "id" && name != "name" && o.Null() {
			return true
		}
		switch name {
		case "id":
			g.id = o.String()
		case "name":
			g.change.Name = new(o.String())
		case "organizationId":
			g.change.OrganizationID = new(o.String())
		case "groups":
			g.change.Groups = o.Strings()
		case "createdAt":
			g.change.CreatedAt = readTime(o)
		case "tokens":
			g.change.Tokens, inTokens = parseTokens(o)
		}
		return true
	})
	if err == nil && inTokens != nil {
		err = invalid(codeInvalidGateway, inTokens)
	}
	return g, err
}

// readTime reads a time. Zero stands for no time, so it becomes the next one.
func readTime(o *strict.Object) time.Time {
	at, err := strict.Time(o.String())
	if err != nil {
		o.Fail(err.Error() + ", or null")
	}
	if at.IsZero() {
		at = at.Add(1)
	}
	return at
}

// parseTokens reads the member tokens. The result is nil only after an error.
func parseTokens(o *strict.Object) ([]auth.TokenDigest, *event.FieldError) {
	text := o.Raw()
	var items []json.RawMessage
	if len(text) == 0 || text[0] != '[' || json.Unmarshal(text, &items) != nil {
		return nil, &event.FieldError{Field: "tokens", Problem: "want an array of objects with sha256"}
	}
	list := make([]auth.TokenDigest, 0, min(len(items), auth.MaxTokens+1))
	for i, item := range items {
		t, err := parseToken(item)
		if f, ok := errors.AsType[*event.FieldError](err); ok {
			return nil, &event.FieldError{Field: fmt.Sprintf("tokens[%d].%s", i, f.Field), Problem: f.Problem}
		}
		if err != nil {
			return nil, &event.FieldError{Field: fmt.Sprintf("tokens[%d]", i), Problem: "want an object with sha256"}
		}
		list = append(list, t)
	}
	return list, nil
}

// parseToken reads a token, of which the platform has the secret.
func parseToken(text []byte) (t auth.TokenDigest, err error) {
	o := strict.Read(text)
	for o.Next() {
		name := string(o.Name())
		switch {
		case name == "sha256" && o.IsString():
			t.SHA256 = readDigest(&o)
		case name == "id" || name == "createdAt" || name == "expiresAt":
			if o.Null() {
				continue
			}
			switch name {
			case "id":
				t.ID = o.String()
			case "createdAt":
				t.CreatedAt = readTime(&o)
			default:
				t.ExpiresAt = readTime(&o)
			}
		case name == "sha256":
			o.Fail(wantDigest)
		case name == "token" || name == "secret":
			o.Fail("is not a field of a token; send its SHA-256 as sha256, never the token")
		default:
			o.Fail("is not a field of a token; want sha256, id, createdAt and expiresAt")
		}
	}
	return t, o.Err()
}

const wantDigest = "want the token's SHA-256 as 64 hexadecimal digits"

// readDigest reads a SHA-256.
func readDigest(o *strict.Object) (d [32]byte) {
	text := o.String()
	if len(text) != hex.EncodedLen(len(d)) {
		o.Fail(wantDigest)
		return d
	}
	if _, err := hex.Decode(d[:], []byte(text)); err != nil {
		o.Fail(wantDigest)
	}
	return d
}

// newGateway returns the body of POST as a request to the registry.
func (g *gatewayBody) newGateway() auth.NewGateway {
	n := auth.NewGateway{ID: g.id, Groups: g.change.Groups, CreatedAt: g.change.CreatedAt, Tokens: g.change.Tokens}
	if g.change.Name != nil {
		n.Name = *g.change.Name
	}
	if g.change.OrganizationID != nil {
		n.OrganizationID = *g.change.OrganizationID
	}
	return n
}
