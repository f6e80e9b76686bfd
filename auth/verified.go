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

// verifiedPrefix is what the ids of verified tokens' grants begin with.
const verifiedPrefix = "verified:"

const (
	// externalTTL is how long a gateway that the platform external for, and that
	// has no connection, is known: for the groups it is in.
	externalTTL = 24 * time.Hour
	// idleGrantTTL is how long a grant without connections is kept. A connection that
	// is on its way with one takes much less.
	idleGrantTTL = 10 * time.Minute
)

// A Verified is what the platform says of a token that it knows.
type Verified struct {
	GatewayID      string
	OrganizationID string // may be empty
	Groups         []string
	ExpiresAt      time.Time // zero: never
}

// check returns it with its groups sorted, each once, or what is wrong with it.
func (v Verified) check() (Verified, error) {
	if !event.ValidName(v.GatewayID) {
		return v, badName("gatewayId")
	}
	checked, err := NewGateway{ID: v.GatewayID, Name: v.GatewayID, OrganizationID: v.OrganizationID, Groups: v.Groups}.check()
	v.Groups = checked.Groups
	return v, err
}

// errStaleAnswer says that a gateway's tokens were taken back while the platform was
// asked for one: its answer may be of before.
var errStaleAnswer = errors.New("stale")

// verifiedRevocations returns a number that changes whenever verified tokens are taken
// back.
func (r *Registry) verifiedRevocations() (revocations uint64, err error) {
	err = r.apply(func(time.Time) { revocations = r.state.revocations })
	return revocations, err
}

// admit returns the grant of a token that the platform knew in a revocations; before is
// the token's grant until now, or nil. A nil grant is one that has expired.
func (r *Registry) admitVerified(d digest, v Verified, before *Grant, revocations uint64) (g *Grant, err error) {
	if v, err = v.check(); err != nil {
		return nil, fmt.Errorf("the platform's answer: %w", err)
	}
	rec, err := r.storeVerified(v)
	if err != nil {
		return nil, fmt.Errorf("where its events begin cannot be kept: %w", err)
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

// refuse ends the grant of a token that the platform knows no more.
func (r *Registry) refuseVerified(before *Grant) error {
	return r.apply(func(time.Time) { r.state.endVerifiedGrant(before, event.TokenRevoked) })
}

// RevokeVerified takes back what the platform said of a gateway's tokens, which ends
// their connections here. The next one that presents such a token has the platform
// asked again.
func (r *Registry) RevokeVerified(gatewayID string) error {
	return r.apply(func(time.Time) {
		r.state.revocations++
		r.state.endVerifiedGrants(gatewayID, event.TokenRevoked)
	})
}

// admit carries in what the platform says of a token, whose gateway has a record.
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

// external returns the entry of a gateway that the platform vouches for. One that is
// registered stays as it is. When the platform has changed its mind on groups or
// organization, the connections it has come back as what it is now.
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
	s.endVerifiedGrants(v.GatewayID, event.GatewayChanged) // first, as in put
	s.dir.replace(old, e)
	return e
}

// endVerifiedGrant ends the grant of a verified token.
func (s *registryState) endVerifiedGrant(g *Grant, reason event.CloseReason) {
	s.end(g, reason)
	s.dropVerifiedGrant(g)
}

func (s *registryState) endVerifiedGrants(gatewayID string, reason event.CloseReason) {
	for _, g := range s.verifiedGrants[gatewayID] {
		s.end(g, reason)
	}
	delete(s.verifiedGrants, gatewayID)
}

func (s *registryState) dropVerifiedGrant(g *Grant) {
	of := s.verifiedGrants[g.Gateway.ID]
	if of[g.digest] != g {
		return
	}
	if delete(of, g.digest); len(of) == 0 {
		delete(s.verifiedGrants, g.Gateway.ID)
	}
}

// sweepVerified lets go of verified grants that nobody uses, and of gateways that
// have been away for long.
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

// addExternal returns the entry of a gateway that another node has verified. It
// is nil when the registry is closed.
func (r *Registry) addExternal(id string) (e *entry) {
	_ = r.apply(func(now time.Time) {
		if e = r.state.dir.entries[id]; e == nil {
			e = r.state.addExternal(id)
			r.state.lastVerified[id] = now
		}
	})
	return e
}

// addExternal makes the entry of a gateway from its record, which this node may
// not have seen yet.
func (s *registryState) addExternal(id string) *entry {
	rec := s.verifiedRecords[id].record
	if rec == nil {
		return s.externalEntry(Verified{GatewayID: id}, nil)
	}
	return s.externalEntry(rec.verified(), rec)
}

// A storedVerified is a verified gateway's record at its revision in the store.
type storedVerified struct {
	record   *verifiedRecord
	revision uint64
}

// learn carries in the record of a verified gateway. A gateway that this node knows
// from others alone becomes what the record says.
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

// forget carries in that the record of a verified gateway was deleted.
func (s *registryState) deleteVerified(id string, revision uint64) {
	if s.verifiedRecords[id].revision < revision {
		delete(s.verifiedRecords, id)
	}
}

// storeVerified returns the record of a gateway of which the platform says v, once the
// store has it. It is nil for a registered gateway, whose own record says more.
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
		if errors.Is(err, ErrConflict) { // another node was first, or this one is late
			next, err = r.readVerified(ctx, v.GatewayID)
		}
		if err != nil {
			return nil, err
		}
		known = next
	}
	if !known.record.covers(v) {
		return nil, fmt.Errorf("%w: gateway %s was changed by others %d times in a row", ErrConflict, v.GatewayID, maxTries)
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

// readVerified gets a verified gateway's record from the store; there may be none. A
// corrupt one is replaced by the next.
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
		r.log.Warn("registry: an entry of a verified gateway is replaced", "key", verifiedKey+id, "error", err)
		rec = nil
	}
	return storedVerified{rec, revision}, nil
}
