// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
)

// ErrTooManyTokens says that a gateway already has MaxTokens live tokens.
var ErrTooManyTokens = errors.New("too many tokens")

// maxTries limits the attempts of a change that conflicts with other changes.
const maxTries = 64

// Add registers a gateway with one token that does not expire. It returns both, and the
// token's secret, which no later call returns. When n has tokens, Add makes none, and the
// secret is empty. Errors are [*event.FieldError], [*DigestConflict], ErrConflict for an
// id that is in use, and the store's.
func (r *Registry) Add(ctx context.Context, n NewGateway) (Gateway, Token, string, error) {
	n, err := n.check()
	if err != nil {
		return Gateway{}, Token{}, "", err
	}
	if n.ID == "" {
		n.ID = uuid.NewString()
	}
	if n.Tokens != nil {
		g, err := r.addWithTokens(ctx, n)
		return g, Token{}, "", err
	}
	at, err := r.position(ctx)
	if err != nil {
		return Gateway{}, Token{}, "", err
	}
	token, secret := newToken(r.now(), time.Time{})
	rec := &record{
		ID: n.ID, Name: n.Name, OrganizationID: n.OrganizationID, Groups: n.Groups,
		CreatedAt: token.CreatedAt, Tokens: []tokenRecord{token}, RegisteredAt: at,
	}
	rec.setCreatedAt(n.CreatedAt)
	revision, err := r.store.Create(ctx, recordPrefix+n.ID, rec.encode())
	switch {
	case errors.Is(err, ErrConflict):
		err = alreadyRegistered(n.ID)
	case err == nil:
		err = r.apply(func(now time.Time) { r.state.put(rec, revision, now) })
	}
	if err != nil {
		return Gateway{}, Token{}, "", err
	}
	return rec.gateway(), token.token(), secret, nil
}

func alreadyRegistered(id string) error {
	return fmt.Errorf("%w: gateway %s is already registered; choose another id, or remove that gateway first", ErrConflict, id)
}

// addWithTokens registers a gateway whose tokens were made elsewhere.
func (r *Registry) addWithTokens(ctx context.Context, n NewGateway) (Gateway, error) {
	im, err := r.BeginImport(ctx)
	if err != nil {
		return Gateway{}, err
	}
	rec, err := im.create(ctx, n.ID, GatewayChange{&n.Name, &n.OrganizationID, n.Groups, n.CreatedAt, n.Tokens})
	if errors.Is(err, errExists) {
		err = alreadyRegistered(n.ID)
	}
	if err != nil {
		return Gateway{}, err
	}
	return rec.gateway(), nil
}

// newToken returns a token and its secret. Times are rounded to drop the monotonic clock,
// which does not survive the store.
func newToken(now, expiresAt time.Time) (tokenRecord, string) {
	secret, d := newSecret()
	return tokenRecord{
		ID: uuid.NewString(), SHA256: d,
		CreatedAt: now.UTC().Round(0), ExpiresAt: expiresAt.UTC().Round(0),
	}, secret
}

// Remove removes a registered gateway, also one with a corrupt entry. Its tokens are
// revoked, and its grants end. The error matches ErrNotFound when there is none.
func (r *Registry) Remove(ctx context.Context, id string) error {
	err := r.retry(id, func() error {
		rec, revision, err := r.read(ctx, id)
		if errors.Is(err, errCorrupt) { // the tokens that this node still accepts
			if e := r.dir.entry(id); e != nil && !e.external {
				rec = e.record()
			}
		} else if err != nil {
			return err
		}
		if rec != nil {
			if err := r.bury(ctx, id, rec.Tokens); err != nil {
				return err
			}
		}
		if err := r.store.Delete(ctx, recordPrefix+id, revision); err != nil {
			return err
		}
		return r.apply(func(now time.Time) { r.state.remove(id, revision, now) })
	})
	if err == nil {
		r.dropUsage(ctx, id)
	}
	return err
}

// AddToken adds a token to a gateway. A zero expiresAt is never. It returns the token and
// its secret, which no later call returns. Expired tokens do not count against MaxTokens
// and are dropped. Errors are [*event.FieldError], ErrNotFound, ErrTooManyTokens, and the
// store's.
func (r *Registry) AddToken(ctx context.Context, gatewayID string, expiresAt time.Time) (Token, string, error) {
	now := r.now()
	switch {
	case expiresAt.IsZero():
	case !now.Before(expiresAt):
		return Token{}, "", &event.FieldError{Field: "expiresAt", Problem: "is in the past; want a time in the future, or leave it out for a token that does not expire"}
	case expiresAt.UTC().Year() > 9999:
		return Token{}, "", &event.FieldError{Field: "expiresAt", Problem: "want a year up to 9999, or leave it out for a token that does not expire"}
	}
	token, secret := newToken(now, expiresAt)
	err := r.edit(ctx, gatewayID, func(rec *record) error {
		rec.Tokens = slices.DeleteFunc(rec.Tokens, func(t tokenRecord) bool { return t.expired(now) })
		if len(rec.Tokens) >= MaxTokens {
			return fmt.Errorf("%w: gateway %s has %d live tokens; revoke one first", ErrTooManyTokens, gatewayID, len(rec.Tokens))
		}
		rec.Tokens = append(rec.Tokens, token)
		return nil
	})
	if err != nil {
		return Token{}, "", err
	}
	return token.token(), secret, nil
}

// RevokeToken removes a token from a gateway and ends its grant. No import can bring the
// token back. The error matches
// ErrNotFound when there is no such gateway or token.
func (r *Registry) RevokeToken(ctx context.Context, gatewayID, tokenID string) error {
	return r.edit(ctx, gatewayID, func(rec *record) error {
		i := slices.IndexFunc(rec.Tokens, func(t tokenRecord) bool { return t.ID == tokenID })
		if i < 0 { // without the id, because a user can pass the secret by mistake
			return fmt.Errorf("gateway %s: token %w", gatewayID, ErrNotFound)
		}
		if err := r.bury(ctx, gatewayID, rec.Tokens[i:i+1]); err != nil {
			return err
		}
		rec.Tokens = slices.Delete(rec.Tokens, i, i+1)
		return nil
	})
}

// edit changes a gateway's record, and returns when this node has applied the change.
func (r *Registry) edit(ctx context.Context, id string, f func(*record) error) error {
	return r.change(ctx, id, func(rec *record, revision uint64) error {
		if err := f(rec); err != nil {
			return err
		}
		rec.Edits++
		revision, err := r.store.Update(ctx, recordPrefix+id, rec.encode(), revision)
		if err != nil {
			return err
		}
		return r.apply(func(now time.Time) { r.state.put(rec, revision, now) })
	})
}

// change calls try with a gateway's record, and again with a newer one while it returns
// ErrConflict. It reads from the store: memory can be older, and a change of an old record
// only conflicts.
func (r *Registry) change(ctx context.Context, id string, try func(rec *record, revision uint64) error) error {
	return r.retry(id, func() error {
		rec, revision, err := r.read(ctx, id)
		if err != nil {
			return err
		}
		return try(rec, revision)
	})
}

// retry calls try until it returns another error than ErrConflict, or a [*DigestConflict],
// which another try does not change.
func (r *Registry) retry(id string, try func() error) error {
	for range maxTries {
		err := try()
		if _, final := errors.AsType[*DigestConflict](err); final || !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("%w: gateway %s changed %d times during the request; try again", ErrConflict, id, maxTries)
}

// errCorrupt says that a gateway's entry cannot be parsed.
var errCorrupt = errors.New("the registry has a corrupt entry")

// read reads a gateway's record from the store, which can be newer than memory.
func (r *Registry) read(ctx context.Context, id string) (*record, uint64, error) {
	if !event.ValidName(id) { // it is no valid key
		return nil, 0, noGateway(id)
	}
	value, revision, err := r.store.Get(ctx, recordPrefix+id)
	if errors.Is(err, ErrNotFound) {
		return nil, 0, noGateway(id)
	}
	if err != nil {
		return nil, 0, err
	}
	rec, err := parseRecord(id, value)
	if err != nil {
		return nil, revision, fmt.Errorf("%w: %w", errCorrupt, corruptError(recordPrefix+id, err))
	}
	return rec, revision, nil
}

func noGateway(id string) error { return fmt.Errorf("gateway %q: %w", id, ErrNotFound) }
