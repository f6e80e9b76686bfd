// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A claim says which gateway a token digest belongs to, or that it was revoked. It is a key
// of the store, so of two nodes that import one digest for two gateways only one creates
// it. Digests of tokens that a registry made have no claim while they are valid: nobody
// else can know them before the answer, and every node's memory has them.
//
// A claim of a revoked digest is kept for ever. So no later import makes the token valid
// again.
type claim struct {
	GatewayID string    `json:"gatewayId"`
	At        time.Time `json:"at"` // by the clock of the node that wrote it
	Revoked   bool      `json:"revoked,omitempty"`
}

// claimGrace is the age from which a claim counts as left over by an import that crashed,
// if its gateway does not have the digest. An import takes much less than this.
const claimGrace = time.Minute

func claimKey(d digest) string { return claimPrefix + hex.EncodeToString(d[:]) }

// encode returns the JSON that the store has.
func (c *claim) encode() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic("BUG: cannot marshal a claim: " + err.Error())
	}
	return b
}

// A DigestConflict says that a token's digest cannot be imported. It matches ErrConflict.
type DigestConflict struct {
	Field   string // as in tokens[0].sha256
	Problem string // with the remedy
}

func (e *DigestConflict) Error() string { return e.Field + ": " + e.Problem }

// Is implements the interface that [errors.Is] looks for.
func (e *DigestConflict) Is(target error) bool { return target == ErrConflict }

// errClaim is a problem with a claim, without the field.
type errClaim string

func (e errClaim) Error() string { return string(e) }

const errRevoked = errClaim("this digest was revoked, and a revoked token stays invalid; leave it out, and give the gateway a new token")

func errHeld(gatewayID string) error {
	return errClaim(fmt.Sprintf("this digest belongs to gateway %s; a token is of one gateway: give this one its own, or remove it there and use a new token", gatewayID))
}

// A madeClaim is a claim that this call has written.
type madeClaim struct {
	key      string
	revision uint64
}

// claimAll claims the digests of a gateway's tokens. known are those that its record has
// already. After an error none is claimed.
func (r *Registry) claimAll(ctx context.Context, gatewayID string, tokens, known []tokenRecord) (made []madeClaim, err error) {
	for i, t := range tokens {
		if slices.ContainsFunc(known, func(k tokenRecord) bool { return k.SHA256 == t.SHA256 }) {
			continue
		}
		m, err := r.claim(ctx, t.SHA256, gatewayID)
		if err != nil {
			r.release(ctx, made)
			if problem, ok := errors.AsType[errClaim](err); ok {
				err = &DigestConflict{fmt.Sprintf("tokens[%d].sha256", i), string(problem)}
			}
			return nil, err
		}
		if m.revision != 0 {
			made = append(made, m)
		}
	}
	return made, nil
}

// claim claims one digest. A zero revision means that the gateway had claimed it before.
func (r *Registry) claim(ctx context.Context, d digest, gatewayID string) (m madeClaim, err error) {
	if holder := r.dir.otherHolder(d, gatewayID); holder != "" {
		return m, errHeld(holder)
	}
	m.key = claimKey(d)
	mine := claim{GatewayID: gatewayID, At: r.now().UTC().Round(0)}
	for range maxTries {
		m.revision, err = r.store.Create(ctx, m.key, mine.encode())
		if !errors.Is(err, ErrConflict) {
			return m, err
		}
		old, revision, err := r.readClaim(ctx, d)
		switch {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return m, err
		case old.Revoked:
			return m, errRevoked
		case old.GatewayID == gatewayID:
			return madeClaim{}, nil
		}
		if err := r.checkLeftOver(ctx, d, old, mine.At); err != nil {
			return m, err
		}
		m.revision, err = r.store.Update(ctx, m.key, mine.encode(), revision)
		if !errors.Is(err, ErrConflict) {
			return m, err
		}
	}
	return m, fmt.Errorf("%w: the claim of a token digest changed %d times during the request; try again", ErrConflict, maxTries)
}

// checkLeftOver returns an error unless a claim of another gateway was left over by an
// import that did not finish.
func (r *Registry) checkLeftOver(ctx context.Context, d digest, c claim, now time.Time) error {
	rec, _, err := r.read(ctx, c.GatewayID)
	if errors.Is(err, ErrNotFound) {
		rec, err = nil, nil
	}
	switch {
	case err != nil: // a corrupt record can have it
		return err
	case rec != nil && rec.has(d):
		return errHeld(c.GatewayID)
	case now.Sub(c.At).Abs() < claimGrace:
		return errClaim(fmt.Sprintf("this digest is being imported for gateway %s; a token is of one gateway", c.GatewayID))
	}
	return nil
}

// readClaim reads the claim of a digest.
func (r *Registry) readClaim(ctx context.Context, d digest) (c claim, revision uint64, err error) {
	value, revision, err := r.store.Get(ctx, claimKey(d))
	if err != nil {
		return c, 0, err
	}
	return parseClaim(value), revision, nil
}

// parseClaim parses a claim. A corrupt one counts as revoked, so that its digest is refused.
func parseClaim(value []byte) (c claim) {
	if json.Unmarshal(value, &c) != nil || c.GatewayID == "" {
		return claim{Revoked: true}
	}
	return c
}

// release deletes claims of a change that was refused. What cannot be deleted is left over.
func (r *Registry) release(ctx context.Context, made []madeClaim) {
	for _, m := range made {
		if err := r.store.Delete(ctx, m.key, m.revision); err != nil && !errors.Is(err, ErrConflict) {
			r.log.Warn("registry: cannot release the claim of a token digest; another gateway can claim it in a minute", "error", err)
		}
	}
}

// bury records that tokens of a gateway are revoked. It is called before the tokens leave
// the gateway's record, so that none that was revoked can be missing.
func (r *Registry) bury(ctx context.Context, gatewayID string, tokens []tokenRecord) error {
	for _, t := range tokens {
		if err := r.buryOne(ctx, gatewayID, t.SHA256); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) buryOne(ctx context.Context, gatewayID string, d digest) error {
	grave := claim{GatewayID: gatewayID, At: r.now().UTC().Round(0), Revoked: true}
	for range maxTries {
		_, err := r.store.Create(ctx, claimKey(d), grave.encode())
		if !errors.Is(err, ErrConflict) {
			return err
		}
		old, revision, err := r.readClaim(ctx, d)
		switch {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil || old.Revoked:
			return err
		}
		_, err = r.store.Update(ctx, claimKey(d), grave.encode(), revision)
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("%w: the claim of a token digest changed %d times during the request; try again", ErrConflict, maxTries)
}
