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
	MaxTokens      = 2   // live tokens of one gateway: the one in use, and the one that replaces it
)

// A Gateway is a registered gateway. It is not changed once made.
type Gateway struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	OrganizationID string    `json:"organizationId"`
	Groups         []string  `json:"groups"`    // sorted, each once
	CreatedAt      time.Time `json:"createdAt"` // zero for one that only the platform knows
	Barrier        Barrier   `json:"-"`
}

// MarshalJSON writes the gateway as operators see it: groups are never null, and
// the time is in [event.TimeFormat].
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

// A Token is what is told of a gateway's credential. The secret itself is known
// only to the gateway.
type Token struct {
	ID         string
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // zero: never
}

// NewGateway asks for a gateway to be registered.
type NewGateway struct {
	ID             string // empty: a UUID is made for it
	Name           string
	OrganizationID string // may be empty
	Groups         []string
}

// A Grant is what a verified token gives: the right to connect as a gateway. All
// who verified one token share one Grant; a gateway that was removed and added
// again has others.
type Grant struct {
	// Constant once made.
	Gateway *Gateway
	TokenID string
	// Live counts the gateway's connections on this node. The shard that owns
	// the gateway writes it; anyone may load it. Grants of one gateway share it.
	Live *atomic.Int32
	// QuotaUsed counts the connections of the gateway that have begun on this node and
	// not ended, and OrgQuotaUsed those of its organization; nil without one. Whoever
	// limits them counts them.
	QuotaUsed, OrgQuotaUsed *atomic.Int32
	// Requests are the gateway's requests that are in progress on this node. Grants
	// of one gateway share them.
	Requests *activity.Requests

	digest    digest
	createdAt time.Time
	expiresAt time.Time // zero: never

	// Owned by the registry's goroutine.
	place int // in the heap of expiries; -1: not there

	// Written and loaded by anyone.
	revoked atomic.Uint32 // 1 + the reason; 0 while the grant stands
	used    atomic.Int64  // when the token was last verified, in Unix nanoseconds; 0: never
	saved   atomic.Int64  // what of used the store has
}

// Revoked reports whether the grant has ended, and why: event.TokenRevoked,
// event.TokenExpired or event.GatewayRemoved. It is set before Options.OnRevoke
// is called, so whoever looks after adding a connection, and whoever closes the
// connections that are there when called, miss none between them.
func (g *Grant) Revoked() (event.CloseReason, bool) {
	v := g.revoked.Load()
	if v == 0 {
		return 0, false
	}
	return event.CloseReason(v - 1), true
}

// revoke ends the grant and reports whether this call did.
func (g *Grant) revoke(reason event.CloseReason) bool {
	return g.revoked.CompareAndSwap(0, uint32(reason)+1)
}

// expired reports whether the token's time is over.
func (g *Grant) expired(now time.Time) bool {
	return !g.expiresAt.IsZero() && !now.Before(g.expiresAt)
}

// learn moves the token's last use forward to what the store says.
func (g *Grant) learn(used int64) {
	raise(&g.used, used)
	raise(&g.saved, used)
}

// raise sets v to at least n.
func raise(v *atomic.Int64, n int64) {
	for old := v.Load(); old < n && !v.CompareAndSwap(old, n); old = v.Load() {
	}
}

// token returns what is told of the grant's token.
func (g *Grant) token() Token {
	t := Token{ID: g.TokenID, CreatedAt: g.createdAt, ExpiresAt: g.expiresAt}
	if used := g.used.Load(); used != 0 {
		t.LastUsedAt = time.Unix(0, used).UTC()
	}
	return t
}

// A Revocation says that the connections of a grant have lost it.
type Revocation struct {
	GatewayID string
	TokenID   string
	Reason    event.CloseReason
}

// check returns the request with its groups sorted, each once, or a
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
	return n, nil
}

// validText reports whether s is printable UTF-8 of at most MaxGatewayName
// characters. The only space it takes is U+0020, so no name spoils a terminal.
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

func badName(field string) error {
	return &event.FieldError{Field: field, Problem: fmt.Sprintf("want 1 to %d of letters, digits, _ and -", event.MaxNameLen)}
}
