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

	"github.com/google/uuid"
)

// Keys of the store: a gateway's record, when its tokens were last used, and the
// [verifiedRecord] of a gateway that only the platform knows. The first two are apart
// so that the use of a token, which is often, never conflicts with a change of tokens.
const (
	recordPrefix = "gateway."
	usagePrefix  = "used."
	verifiedKey  = "verified."
)

// A record is a gateway as the store has it. Only its tokens ever change.
type record struct {
	ID             string        `json:"id"`
	Name           string        `json:"name"`
	OrganizationID string        `json:"organizationId,omitempty"`
	Groups         []string      `json:"groups,omitempty"`
	CreatedAt      time.Time     `json:"createdAt"`
	Tokens         []tokenRecord `json:"tokens,omitempty"` // oldest first
	// Edits counts the changes since the registration: of two records of one
	// registration the one with more is newer, whatever store they are in.
	Edits uint64 `json:"edits,omitempty"`
	// RegisteredAt is the log's position at the registration, JoinedAt those at which
	// it joined groups later. A record of a version that kept none has none.
	RegisteredAt event.Cursor            `json:"registeredAt,omitzero"`
	JoinedAt     map[string]event.Cursor `json:"joinedAt,omitempty"`
}

// A tokenRecord is a token as the store has it.
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

// before reports whether r is an older record than one with these edits of a
// registration at createdAt.
func (r *record) before(createdAt time.Time, edits uint64) bool {
	if !r.CreatedAt.Equal(createdAt) {
		return r.CreatedAt.Before(createdAt)
	}
	return r.Edits < edits
}

// encode returns the record's JSON.
func (r *record) encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic("BUG: a record does not marshal: " + err.Error())
	}
	return b
}

// gateway returns the record without its tokens.
func (r *record) gateway() Gateway {
	return Gateway{
		ID: r.ID, Name: r.Name, OrganizationID: r.OrganizationID, Groups: r.Groups, CreatedAt: r.CreatedAt,
		Barrier: Barrier{Own: r.RegisteredAt, All: r.RegisteredAt, Groups: groupBarriers(r.Groups, r.RegisteredAt, r.JoinedAt)},
	}
}

// parseRecord reads the record of the gateway id. It takes only what could stand
// in the registry, so that nothing behind it need check again.
func parseRecord(id string, value []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("not a gateway's JSON: %w", err)
	}
	if r.ID != id || id == "" {
		return nil, errors.New("the id in it is not its key's")
	}
	checked, err := NewGateway{r.ID, r.Name, r.OrganizationID, r.Groups}.check()
	if err != nil {
		return nil, err
	}
	r.Groups = checked.Groups
	if r.CreatedAt, err = storedTime("createdAt", r.CreatedAt); err != nil {
		return nil, err
	}
	if err := r.checkTokens(); err != nil {
		return nil, err
	}
	return &r, nil
}

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
			return fmt.Errorf("tokens[%d]: is there twice", i)
		}
	}
	return nil
}

func (t *tokenRecord) check() (err error) {
	if id, err := uuid.Parse(t.ID); err != nil || id.String() != t.ID {
		return errors.New("id: is not a UUID")
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

// storedTime returns t in UTC, if JSON has a form for that.
func storedTime(field string, t time.Time) (time.Time, error) {
	t = t.UTC().Round(0) // without the monotonic clock, which would make equal times differ
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return t, fmt.Errorf("%s: is missing, or not of the years 1 to 9999", field)
	}
	return t, nil
}

// A usage says when each of a gateway's tokens was last used, by token id.
type usage map[string]time.Time

func (u usage) encode() []byte {
	b, err := json.Marshal(u)
	if err != nil {
		panic("BUG: a usage does not marshal: " + err.Error())
	}
	return b
}

func parseUsage(value []byte) (u usage, err error) {
	if err := json.Unmarshal(value, &u); err != nil {
		return nil, fmt.Errorf("not the JSON of times by token id: %w", err)
	}
	for _, at := range u {
		if at.Year() < 1970 || at.Year() > 2261 { // what Unix nanoseconds in an int64 can say
			return nil, errors.New("has a time that is not of the years 1970 to 2261")
		}
	}
	return u, nil
}

func (r *verifiedRecord) encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic("BUG: a verified gateway's record does not marshal: " + err.Error())
	}
	return b
}

// parseVerifiedRecord reads the record of the verified gateway id.
func parseVerifiedRecord(id string, value []byte) (*verifiedRecord, error) {
	var r verifiedRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("not a verified gateway's JSON: %w", err)
	}
	if r.ID != id || id == "" {
		return nil, errors.New("the id in it is not its key's")
	}
	_, err := r.verified().check()
	return &r, err
}

// cutKey splits a key of the store; kind is empty for a key of another make.
func cutKey(key string) (kind, id string) {
	for _, kind := range []string{recordPrefix, usagePrefix, verifiedKey} {
		if id, ok := strings.CutPrefix(key, kind); ok {
			return kind, id
		}
	}
	return "", ""
}
