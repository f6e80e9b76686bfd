// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatecast/gatecast/internal/activity"
	"github.com/gatecast/gatecast/internal/event"
)

// Limits of the registry.
const (
	MaxGatewayName = 128 // characters of a gateway's name
	MaxGroups      = 64  // groups of one gateway
	MaxTokens      = 2   // live tokens of one gateway: the current one and its replacement
)

// A Gateway describes a gateway. It is immutable, so goroutines can share it.
type Gateway struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	OrganizationID string    `json:"organizationId"`
	Groups         []string  `json:"groups"`    // sorted, each once
	CreatedAt      time.Time `json:"createdAt"` // zero for an external gateway
	Barrier        Barrier   `json:"-"`
}

// MarshalJSON writes the gateway as in the HTTP API: groups are never null, and the time
// is in [event.TimeFormat].
func (g Gateway) MarshalJSON() ([]byte, error) {
	type plain Gateway
	if g.Groups == nil {
		g.Groups = []string{}
	}
	return json.Marshal(struct {
		plain
		CreatedAt string `json:"createdAt"`
	}{plain(g), g.CreatedAt.UTC().Format(event.TimeFormat)})
}

// A Token describes a gateway's credential. It has no secret: only the gateway has that.
type Token struct {
	ID         string
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // zero: never
}

// NewGateway is a request to register a gateway.
type NewGateway struct {
	ID             string // empty: Add makes a UUID
	Name           string
	OrganizationID string // empty: none
	Groups         []string
	CreatedAt      time.Time // zero: now
	// Tokens are the digests of its tokens. Nil: Add makes a token.
	Tokens []TokenDigest
}

// A Grant is the right to connect as a gateway, from a valid token or certificate. All
// connections with one token share one Grant. Any goroutine can use it. A gateway that
// was removed and added again has new grants.
type Grant struct {
	// Constant once made. Name and date of Gateway can be old: a change of them ends no
	// grant.
	Gateway *Gateway
	TokenID string
	// Live is the number of the gateway's connections to this node. The shard that owns
	// the gateway writes it, and any goroutine can load it. Grants of one gateway share it.
	Live *atomic.Int32
	// QuotaUsed is the number of connections to this node that count against the gateway's
	// connection quota. OrgQuotaUsed is that of its organization; nil without one. The
	// code that enforces the quotas writes both.
	QuotaUsed, OrgQuotaUsed *atomic.Int32
	// Requests are the gateway's HTTP requests in progress on this node. Grants of one
	// gateway share them.
	Requests *activity.Requests

	digest    digest
	createdAt time.Time
	expiresAt time.Time // zero: never

	// Owned by the registry's goroutine.
	heapIndex int // in registryState.expiries; -1: not there

	// Written and read by any goroutine.
	revoked atomic.Uint32 // 1 + the reason; 0 while the grant is valid
	used    atomic.Int64  // when the token was last verified, in Unix nanoseconds; 0: never
	saved   atomic.Int64  // the value of used in the store
}

// Revoked reports whether the grant has ended, and why: event.TokenRevoked,
// event.TokenExpired, event.GatewayRemoved or event.GatewayChanged. It changes before
// Options.OnRevoke is called. So a shard that calls Revoked after it added a connection,
// and closes the connections it has on OnRevoke, misses none.
func (g *Grant) Revoked() (event.CloseReason, bool) {
	v := g.revoked.Load()
	if v == 0 {
		return 0, false
	}
	return event.CloseReason(v - 1), true
}

// revoke ends the grant. It reports false when the grant had already ended.
func (g *Grant) revoke(reason event.CloseReason) bool {
	return g.revoked.CompareAndSwap(0, uint32(reason)+1)
}

// expired reports whether the token has expired.
func (g *Grant) expired(now time.Time) bool {
	return !g.expiresAt.IsZero() && !now.Before(g.expiresAt)
}

// mergeUsed merges a last use that the store has, in Unix nanoseconds.
func (g *Grant) mergeUsed(used int64) {
	raise(&g.used, used)
	raise(&g.saved, used)
}

// raise sets v to at least n.
func raise(v *atomic.Int64, n int64) {
	for old := v.Load(); old < n && !v.CompareAndSwap(old, n); old = v.Load() {
	}
}

// token describes the grant's token.
func (g *Grant) token() Token {
	t := Token{ID: g.TokenID, CreatedAt: g.createdAt, ExpiresAt: g.expiresAt}
	if used := g.used.Load(); used != 0 {
		t.LastUsedAt = time.Unix(0, used).UTC()
	}
	return t
}

// A Revocation says that a grant has ended, and its connections must be closed.
type Revocation struct {
	GatewayID string
	TokenID   string
	Reason    event.CloseReason
}

// check returns the request with its groups sorted and without duplicates, or a
// [*event.FieldError].
func (n NewGateway) check() (NewGateway, error) {
	switch {
	case n.ID != "" && !event.ValidName(n.ID):
		return n, badName("id")
	case strings.TrimSpace(n.Name) == "":
		return n, &event.FieldError{Field: "name", Problem: "is missing; want a name for people, as in eu-west-1"}
	case !validText(n.Name):
		return n, &event.FieldError{Field: "name", Problem: fmt.Sprintf("want at most %d printable characters of UTF-8", MaxGatewayName)}
	case n.OrganizationID != "" && !event.ValidName(n.OrganizationID):
		return n, badName("organizationId")
	case len(n.Groups) > MaxGroups:
		return n, &event.FieldError{Field: "groups", Problem: fmt.Sprintf("has %d names; want at most %d", len(n.Groups), MaxGroups)}
	}
	for i, g := range n.Groups {
		if !event.ValidName(g) {
			return n, badName(fmt.Sprintf("groups[%d]", i))
		}
	}
	groups := slices.Sorted(slices.Values(n.Groups))
	n.Groups = slices.Compact(groups)
	if !n.CreatedAt.IsZero() {
		var err error
		if n.CreatedAt, err = storedTime("createdAt", n.CreatedAt); err != nil {
			return n, &event.FieldError{Field: "createdAt", Problem: "is outside the years 1 to 9999; leave it out for now"}
		}
	}
	if n.Tokens != nil {
		tokens, err := checkDigests(n.Tokens)
		if err != nil {
			return n, err
		}
		n.Tokens = append([]TokenDigest{}, tokens...)
	}
	return n, nil
}

// validText reports whether s is printable UTF-8 of at most MaxGatewayName characters. The
// only white space is U+0020, so a name cannot garble a terminal.
func validText(s string) bool {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > MaxGatewayName {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// badName is the error of an invalid id or group name.
func badName(field string) error {
	return &event.FieldError{Field: field, Problem: fmt.Sprintf("want 1 to %d of letters, digits, _ and -", event.MaxNameLen)}
}
