// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// verifiedPrefix starts the token ids of verified tokens' grants.
const verifiedPrefix = "verified:"

const (
	// externalTTL is how long an external gateway without a connection stays a member of
	// its groups after its last verification.
	externalTTL = 24 * time.Hour
	// idleGrantTTL is how long a grant without connections is kept. A connection that is
	// being set up takes much less.
	idleGrantTTL = 10 * time.Minute
)

// A Verified is the platform's answer about a valid token.
type Verified struct {
	GatewayID      string
	OrganizationID string // empty: none
	Groups         []string
	ExpiresAt      time.Time // zero: never
}

// check returns v with its groups sorted and without duplicates, or a
// [*event.FieldError].
func (v Verified) check() (Verified, error) {
	if !event.ValidName(v.GatewayID) {
		return v, badName("gatewayId")
	}
	checked, err := NewGateway{ID: v.GatewayID, Name: v.GatewayID, OrganizationID: v.OrganizationID, Groups: v.Groups}.check()
	v.Groups = checked.Groups
	return v, err
}

// errStaleAnswer says that verified tokens were revoked while the platform was asked. Its
// answer can be older than the revocation.
var errStaleAnswer = errors.New("the answer is older than a revocation")

// verifiedRevocations returns a number that changes with each RevokeVerified.
func (r *Registry) verifiedRevocations() (revocations uint64, err error) {
	err = r.apply(func(time.Time) { revocations = r.state.revocations })
	return revocations, err
}

// admitVerified returns the grant of a token that the platform has verified. before is the
// token's previous grant, or nil. revocations was read before the platform was asked. A
// nil grant has expired.
func (r *Registry) admitVerified(d digest, v Verified, before *Grant, revocations uint64) (g *Grant, err error) {
	if v, err = v.check(); err != nil {
		return nil, fmt.Errorf("the platform's answer: %w", err)
	}
	rec, err := r.storeVerified(v)
	if err != nil {
		return nil, fmt.Errorf("cannot store the record of the gateway: %w", err)
	}
	var stale bool
	err = r.apply(func(now time.Time) {
		if stale = revocations != r.state.revocations; !stale {
			g = r.state.admitVerified(d, v, rec, before, now)
		}
	})
	if err == nil && stale {
		err = errStaleAnswer
	}
	return g, err
}

// refuseVerified ends the grant of a token that the platform no longer accepts.
func (r *Registry) refuseVerified(before *Grant) error {
	return r.apply(func(time.Time) { r.state.endVerifiedGrant(before, event.TokenRevoked) })
}

// RevokeVerified ends the grants of a gateway's verified tokens, and with them its
// connections to this node. The next use of such a token asks the platform again.
func (r *Registry) RevokeVerified(gatewayID string) error {
	return r.apply(func(time.Time) {
		r.state.revocations++
		r.state.endVerifiedGrants(gatewayID, event.TokenRevoked)
	})
}

// admitVerified returns the grant of a verified token. rec is the gateway's record, nil
// for a registered gateway.
func (s *registryState) admitVerified(d digest, v Verified, rec *verifiedRecord, before *Grant, now time.Time) *Grant {
	if before != nil && before.Gateway.ID != v.GatewayID {
		s.endVerifiedGrant(before, event.TokenRevoked)
	}
	e := s.externalEntry(v, rec)
	g := s.verifiedGrants[v.GatewayID][d]
	if g == nil {
		g = s.newGrant(e, tokenRecord{ID: verifiedPrefix + hex.EncodeToString(d[:8]), SHA256: d, CreatedAt: now})
		if s.verifiedGrants[v.GatewayID] == nil {
			s.verifiedGrants[v.GatewayID] = make(map[digest]*Grant)
		}
		s.verifiedGrants[v.GatewayID][d] = g
	}
	s.expiries.drop(g)
	g.expiresAt = v.ExpiresAt // of a verified grant, only this goroutine reads it
	if g.expired(now) {
		s.endVerifiedGrant(g, event.TokenExpired)
		return nil
	}
	s.expiries.add(g)
	g.used.Store(now.UnixNano())
	s.lastVerified[v.GatewayID] = now
	return g
}

// externalEntry returns the entry of a verified gateway, and makes it if needed. The
// entry of a registered gateway is not changed. When the platform has changed groups or
// organization, existing connections are closed, and come back with the new ones.
func (s *registryState) externalEntry(v Verified, rec *verifiedRecord) *entry {
	old := s.dir.entries[v.GatewayID]
	if old != nil && !old.external {
		return old
	}
	g := &Gateway{ID: v.GatewayID, OrganizationID: v.OrganizationID, Groups: v.Groups, Barrier: rec.barrier(v.Groups)}
	e := &entry{gateway: g, presence: new(presence), external: true}
	if old != nil {
		if sameGateway(old.gateway, g) {
			return old
		}
		e.presence = old.presence
	}
	s.endVerifiedGrants(v.GatewayID, event.GatewayChanged) // before replace, as in put
	s.replace(old, e)
	return e
}

// addExternals adds the gateways that another node has verified and this node does not
// know. The record of a gateway can arrive later than the report of its connection.
func (s *registryState) addExternals(ids []string, now time.Time) {
	for _, id := range ids {
		if s.dir.entries[id] == nil {
			s.addExternal(id)
			s.lastVerified[id] = now
		}
	}
}

// addExternal adds an external gateway from its record, if there is one.
func (s *registryState) addExternal(id string) {
	v := Verified{GatewayID: id}
	rec := s.verifiedRecords[id].record
	if rec != nil {
		v = rec.verified()
	}
	s.externalEntry(v, rec)
}

// endVerifiedGrant ends the grant of a verified token.
func (s *registryState) endVerifiedGrant(g *Grant, reason event.CloseReason) {
	s.end(g, reason)
	s.dropVerifiedGrant(g)
}

// endVerifiedGrants ends the grants of all verified tokens of a gateway.
func (s *registryState) endVerifiedGrants(gatewayID string, reason event.CloseReason) {
	for _, g := range s.verifiedGrants[gatewayID] {
		s.end(g, reason)
	}
	delete(s.verifiedGrants, gatewayID)
}

// dropVerifiedGrant forgets a grant without ending it.
func (s *registryState) dropVerifiedGrant(g *Grant) {
	of := s.verifiedGrants[g.Gateway.ID]
	if of[g.digest] != g {
		return
	}
	if delete(of, g.digest); len(of) == 0 {
		delete(s.verifiedGrants, g.Gateway.ID)
	}
}

// sweepVerified drops verified grants without connections, and external gateways that
// have been disconnected for externalTTL.
func (s *registryState) sweepVerified(now time.Time) {
	for _, of := range s.verifiedGrants {
		for _, g := range of {
			_, ended := g.Revoked()
			if ended || g.QuotaUsed.Load() == 0 && now.Sub(time.Unix(0, g.used.Load())) > idleGrantTTL {
				s.expiries.drop(g)
				s.dropVerifiedGrant(g)
			}
		}
	}
	maps.DeleteFunc(s.lastVerified, func(id string, at time.Time) bool {
		e := s.dir.entries[id]
		switch {
		case e == nil || !e.external:
			return true
		case e.presence.quotaUsed.Load() > 0 || e.presence.remote.Load() > 0:
			s.lastVerified[id] = now
		case now.Sub(at) > externalTTL:
			s.dir.replace(e, nil)
			return true
		}
		return false
	})
}

// A storedVerified is the record of an external gateway with its revision in the store.
type storedVerified struct {
	record   *verifiedRecord
	revision uint64
}

// putVerified applies the record of an external gateway. A gateway that only other nodes
// have verified changes to what the record says.
func (s *registryState) putVerified(id string, stored storedVerified) {
	if s.verifiedRecords[id].revision >= stored.revision {
		return
	}
	s.verifiedRecords[id] = stored
	e := s.dir.entries[id]
	if e != nil && e.external && len(s.verifiedGrants[id]) == 0 {
		s.externalEntry(stored.record.verified(), stored.record)
	}
}

// deleteVerified applies the deletion of an external gateway's record.
func (s *registryState) deleteVerified(id string, revision uint64) {
	if s.verifiedRecords[id].revision < revision {
		delete(s.verifiedRecords, id)
	}
}

// storeVerified returns the record of a gateway that the platform has verified, once it
// is in the store. It is nil for a registered gateway, whose own record has more.
func (r *Registry) storeVerified(v Verified) (*verifiedRecord, error) {
	var known storedVerified
	registered := false
	if err := r.apply(func(time.Time) {
		e := r.state.dir.entries[v.GatewayID]
		registered = e != nil && !e.external
		known = r.state.verifiedRecords[v.GatewayID]
	}); err != nil || registered {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	for range maxTries {
		if known.record.covers(v) {
			break
		}
		next, err := r.writeVerified(ctx, v, known)
		if errors.Is(err, ErrConflict) { // another node was faster, or this node does not know its change yet
			next, err = r.readVerified(ctx, v.GatewayID)
		}
		if err != nil {
			return nil, err
		}
		known = next
	}
	if !known.record.covers(v) {
		return nil, fmt.Errorf("%w: gateway %s changed %d times during the request", ErrConflict, v.GatewayID, maxTries)
	}
	return known.record, r.apply(func(time.Time) { r.state.putVerified(v.GatewayID, known) })
}

// writeVerified stores the record that follows a known one.
func (r *Registry) writeVerified(ctx context.Context, v Verified, known storedVerified) (next storedVerified, err error) {
	at, err := r.position(ctx)
	if err != nil {
		return next, err
	}
	if known.record == nil {
		at = r.firstOpen.Load().initialBarrier(at, r.now())
	}
	next.record = known.record.next(v, at)
	if key := verifiedKey + v.GatewayID; known.revision == 0 {
		next.revision, err = r.store.Create(ctx, key, next.record.encode())
	} else {
		next.revision, err = r.store.Update(ctx, key, next.record.encode(), known.revision)
	}
	return next, err
}

// readVerified reads an external gateway's record from the store; the zero value without
// one. The next write replaces a corrupt record.
func (r *Registry) readVerified(ctx context.Context, id string) (storedVerified, error) {
	value, revision, err := r.store.Get(ctx, verifiedKey+id)
	if errors.Is(err, ErrNotFound) {
		return storedVerified{}, nil
	}
	if err != nil {
		return storedVerified{}, err
	}
	rec, err := parseVerifiedRecord(id, value)
	if err != nil {
		r.log.Warn("registry: replacing the corrupt entry of an external gateway", "key", verifiedKey+id, "error", err)
		rec = nil
	}
	return storedVerified{rec, revision}, nil
}
