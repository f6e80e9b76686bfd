// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// Key prefixes of the store: a registered gateway's [record], the [usage] of its tokens,
// the [verifiedRecord] of an external gateway, and the [claim] of a token's digest, which
// only the writers of tokens read. Record and usage are separate, so that
// frequent uses of tokens do not conflict with changes of tokens.
const (
	recordPrefix = "gateway."
	usagePrefix  = "used."
	verifiedKey  = "verified."
	claimPrefix  = "token."
)

// A record is a registered gateway in the store.
type record struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	OrganizationID string    `json:"organizationId,omitempty"`
	Groups         []string  `json:"groups,omitempty"`
	CreatedAt      time.Time `json:"createdAt"`
	// Since is the time of the registration here, which tells registrations of one id
	// apart. Zero: it is CreatedAt, which an import can set to another time.
	Since  time.Time     `json:"since,omitzero"`
	Tokens []tokenRecord `json:"tokens,omitempty"` // oldest first
	// Edits is the number of changes since the registration. Of two records of one
	// registration the one with more edits is newer, also across stores.
	Edits uint64 `json:"edits,omitempty"`
	// RegisteredAt is the log's position at the registration. JoinedAt has the positions
	// at which it joined groups later, and OrganizationSince that of joining another
	// organization. Records of versions without barriers have none of them.
	RegisteredAt      event.Cursor            `json:"registeredAt,omitzero"`
	JoinedAt          map[string]event.Cursor `json:"joinedAt,omitempty"`
	OrganizationSince event.Cursor            `json:"organizationSince,omitzero"`
}

// A tokenRecord is a token in the store.
type tokenRecord struct {
	ID        string    `json:"id"`
	SHA256    digest    `json:"sha256"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"` // zero: never
}

func (t tokenRecord) expired(now time.Time) bool {
	return !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
}

func (t tokenRecord) token() Token {
	return Token{ID: t.ID, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt}
}

// registration returns the time that tells registrations of one id apart.
func (r *record) registration() time.Time {
	if r.Since.IsZero() {
		return r.CreatedAt
	}
	return r.Since
}

// before reports whether r is older than a record with these edits of a registration at a
// time.
func (r *record) before(registration time.Time, edits uint64) bool {
	if !r.registration().Equal(registration) {
		return r.registration().Before(registration)
	}
	return r.Edits < edits
}

// encode returns the record's JSON.
func (r *record) encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic("BUG: cannot marshal a record: " + err.Error())
	}
	return b
}

// gateway returns the record without its tokens.
func (r *record) gateway() Gateway {
	return Gateway{
		ID: r.ID, Name: r.Name, OrganizationID: r.OrganizationID, Groups: r.Groups, CreatedAt: r.CreatedAt,
		Barrier: Barrier{
			Own: r.RegisteredAt, All: r.RegisteredAt, Organization: r.OrganizationSince,
			Groups: groupBarriers(r.Groups, r.RegisteredAt, r.JoinedAt),
		},
	}
}

// parseRecord parses the record of a gateway. It accepts only what the registry
// writes, so no later code checks again.
func parseRecord(id string, value []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("not the JSON of a gateway: %w", err)
	}
	if r.ID != id || id == "" {
		return nil, errors.New("its id is not the id of its key")
	}
	checked, err := NewGateway{ID: r.ID, Name: r.Name, OrganizationID: r.OrganizationID, Groups: r.Groups}.check()
	if err != nil {
		return nil, err
	}
	r.Groups = checked.Groups
	if r.CreatedAt, err = storedTime("createdAt", r.CreatedAt); err != nil {
		return nil, err
	}
	if !r.Since.IsZero() {
		if r.Since, err = storedTime("since", r.Since); err != nil {
			return nil, err
		}
	}
	if err := r.checkTokens(); err != nil {
		return nil, err
	}
	return &r, nil
}

// checkTokens checks the tokens of a parsed record.
func (r *record) checkTokens() error {
	if len(r.Tokens) > MaxTokens {
		return fmt.Errorf("has %d tokens; want at most %d", len(r.Tokens), MaxTokens)
	}
	for i := range r.Tokens {
		t := &r.Tokens[i]
		if err := t.check(); err != nil {
			return fmt.Errorf("tokens[%d]: %w", i, err)
		}
		if slices.ContainsFunc(r.Tokens[:i], func(o tokenRecord) bool { return o.ID == t.ID || o.SHA256 == t.SHA256 }) {
			return fmt.Errorf("tokens[%d]: is a duplicate", i)
		}
	}
	return nil
}

// check checks a parsed token.
func (t *tokenRecord) check() (err error) {
	if !event.ValidName(t.ID) { // a UUID, or what the platform called it
		return errors.New("id: is not valid")
	}
	if t.SHA256 == (digest{}) {
		return errors.New("sha256: is missing")
	}
	if t.CreatedAt, err = storedTime("createdAt", t.CreatedAt); err != nil {
		return err
	}
	if !t.ExpiresAt.IsZero() {
		t.ExpiresAt, err = storedTime("expiresAt", t.ExpiresAt)
	}
	return err
}

// storedTime returns t in UTC, if JSON can represent it.
func storedTime(field string, t time.Time) (time.Time, error) {
	t = t.UTC().Round(0) // without the monotonic clock, which would make equal times differ
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return t, fmt.Errorf("%s: is missing, or outside the years 1 to 9999", field)
	}
	return t, nil
}

// A usage has the times of the last uses of a gateway's tokens, by token id.
type usage map[string]time.Time

func (u usage) encode() []byte {
	b, err := json.Marshal(u)
	if err != nil {
		panic("BUG: cannot marshal a usage: " + err.Error())
	}
	return b
}

// parseUsage parses the usage of a gateway.
func parseUsage(value []byte) (u usage, err error) {
	if err := json.Unmarshal(value, &u); err != nil {
		return nil, fmt.Errorf("not the JSON of times by token id: %w", err)
	}
	for _, at := range u {
		if at.Year() < 1970 || at.Year() > 2261 { // the range of Unix nanoseconds in an int64
			return nil, errors.New("has a time outside the years 1970 to 2261")
		}
	}
	return u, nil
}

func (r *verifiedRecord) encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic("BUG: cannot marshal a verifiedRecord: " + err.Error())
	}
	return b
}

// parseVerifiedRecord parses the record of an external gateway.
func parseVerifiedRecord(id string, value []byte) (*verifiedRecord, error) {
	var r verifiedRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("not the JSON of an external gateway: %w", err)
	}
	if r.ID != id || id == "" {
		return nil, errors.New("its id is not the id of its key")
	}
	_, err := r.verified().check()
	return &r, err
}

// cutKey splits a key of the store. kind is empty for a key that this package does not use.
func cutKey(key string) (kind, id string) {
	for _, kind := range []string{recordPrefix, usagePrefix, verifiedKey, grantedKey} {
		if id, ok := strings.CutPrefix(key, kind); ok {
			return kind, id
		}
	}
	return "", ""
}
