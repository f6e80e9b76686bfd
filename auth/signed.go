// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// ErrUnverifiable says that a signed token cannot be verified now, for example because its
// issuer's keys are not known.
var ErrUnverifiable = errors.New("cannot verify signed tokens now")

// A Signature says when and by which key a token was signed.
type Signature struct {
	IssuedAt time.Time // zero: not stated; the token is older than every other
	// Withdrawn is set once the key is no longer trusted. [Registry.EndWithdrawn] must be
	// called after that. Tokens of one key share it.
	Withdrawn *atomic.Bool
}

// AdmitSigned returns the grant of a token whose signature has been verified. Of several
// tokens of one gateway, the one issued last decides its groups and its organization.
// Errors match [ErrRefused] and [ErrUnverifiable].
func (r *Registry) AdmitSigned(token string, v Verified, s Signature) (*Grant, error) {
	v.signature = &s
	v, err := v.check()
	if err != nil {
		return nil, fmt.Errorf("%w: its claims: %w", ErrRefused, err)
	}
	rec, err := r.storeVerified(v)
	if errors.Is(err, ErrRefused) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: cannot store the record of the gateway: %w", ErrUnverifiable, err)
	}
	var g *Grant
	var refused error
	err = r.apply(func(now time.Time) {
		g, refused = r.state.admitSigned(sha256.Sum256([]byte(token)), v, rec, now)
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnverifiable, err)
	}
	return g, refused
}

// admitSigned returns the grant of a signed token. rec is the gateway's record when it was
// last looked at; nil for a registered gateway. A newer record decides.
func (s *registryState) admitSigned(d digest, v Verified, rec *verifiedRecord, now time.Time) (*Grant, error) {
	stored := s.verifiedRecords[v.GatewayID].record
	if stored.revokes(v) || v.signature.Withdrawn.Load() {
		return nil, fmt.Errorf("%w: it was revoked, or its key was withdrawn", ErrRefused)
	}
	e := s.dir.entries[v.GatewayID]
	switch registered := e != nil && !e.external; {
	case registered:
	case rec == nil:
		return nil, fmt.Errorf("%w: the gateway was removed from the registry during the request", ErrUnverifiable)
	default:
		if stored != nil && !stored.Unverified {
			rec = stored
		}
		v = rec.newest(v)
	}
	g := s.admitVerified(d, v, rec, nil, now)
	if g == nil {
		return nil, fmt.Errorf("%w: it has expired", ErrRefused)
	}
	return g, nil
}

// EndWithdrawn ends the grants of tokens whose key was withdrawn, and with them their
// connections to this node.
func (r *Registry) EndWithdrawn() error {
	return r.apply(func(time.Time) {
		for _, of := range r.state.verifiedGrants {
			for _, g := range of {
				if g.signature != nil && g.signature.Withdrawn.Load() {
					r.state.endVerifiedGrant(g, event.TokenRevoked)
				}
			}
		}
	})
}

// RevokeSigned revokes a gateway's signed tokens that were issued until now, on every node
// and for good. It ends their grants. A node learns of it by the watch of the store.
func (r *Registry) RevokeSigned(ctx context.Context, gatewayID string) error {
	var known storedVerified
	if err := r.apply(func(time.Time) { known = r.state.verifiedRecords[gatewayID] }); err != nil {
		return err
	}
	for range maxTries {
		next := storedVerified{record: known.record.revoked(gatewayID, r.now())}
		var err error
		if key := verifiedKey + gatewayID; known.revision == 0 {
			next.revision, err = r.store.Create(ctx, key, next.record.encode())
		} else {
			next.revision, err = r.store.Update(ctx, key, next.record.encode(), known.revision)
		}
		if err == nil {
			return r.apply(func(time.Time) { r.state.putVerified(gatewayID, next) })
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
		if known, err = r.readVerified(ctx, gatewayID); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: gateway %s changed %d times during the request", ErrConflict, gatewayID, maxTries)
}

// endRevoked ends the grants of signed tokens that the gateway's record revokes.
func (s *registryState) endRevoked(id string, rec *verifiedRecord) {
	for _, g := range s.verifiedGrants[id] {
		if rec.revokes(Verified{signature: g.signature}) {
			s.endVerifiedGrant(g, event.TokenRevoked)
		}
	}
}

// revokes reports whether the record revokes a signed token. r can be nil.
func (r *verifiedRecord) revokes(v Verified) bool {
	return r != nil && v.signature != nil && !r.RevokedAt.IsZero() && !v.signature.IssuedAt.After(r.RevokedAt)
}

// revoked returns the record that replaces r when the tokens issued until now are revoked.
// A token that was seen already can be issued later than now by the clock of its issuer. r
// can be nil.
func (r *verifiedRecord) revoked(id string, now time.Time) *verifiedRecord {
	next := verifiedRecord{ID: id, Unverified: true}
	if r != nil {
		next = *r
	}
	for _, at := range []time.Time{now.UTC().Round(0), next.IssuedAt} {
		if at.After(next.RevokedAt) {
			next.RevokedAt = at
		}
	}
	return &next
}

// newest returns v with the groups and the organization of the record, if v is a signed
// token that is not newer than the one that decided them. r can be nil.
func (r *verifiedRecord) newest(v Verified) Verified {
	if v.signature == nil || r == nil || r.Unverified || r.IssuedAt.IsZero() || v.signature.IssuedAt.After(r.IssuedAt) {
		return v
	}
	decided := r.verified()
	v.OrganizationID, v.Groups = decided.OrganizationID, decided.Groups
	return v
}

// keepRevocation returns the record that counts when the store reports rec and r is known.
// A store that went back must not bring revoked tokens back. r can be nil.
func (r *verifiedRecord) keepRevocation(rec *verifiedRecord) (merged *verifiedRecord, changed bool) {
	if r == nil || rec == nil || !r.RevokedAt.After(rec.RevokedAt) {
		return rec, false
	}
	next := *rec
	next.RevokedAt = r.RevokedAt
	return &next, true
}
