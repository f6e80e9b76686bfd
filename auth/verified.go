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
	// verifiedMemory is how long a gateway that the platform vouched for, and that
	// has no connection, is known: for the groups it is in.
	verifiedMemory = 24 * time.Hour
	// idleGrant is how long a grant without connections is kept. A connection that
	// is on its way with one takes much less.
	idleGrant = 10 * time.Minute
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

// errOvertaken says that a gateway's tokens were taken back while the platform was
// asked for one: its answer may be of before.
var errOvertaken = errors.New("overtaken")

// verifiedRound returns a number that changes whenever verified tokens are taken
// back.
func (r *Registry) verifiedRound() (round uint64, err error) {
	err = r.apply(func(time.Time) { round = r.keeper.round })
	return round, err
}

// admit returns the grant of a token that the platform knew in a round; before is
// the token's grant until now, or nil. A nil grant is one that has expired.
func (r *Registry) admit(d digest, v Verified, before *Grant, round uint64) (g *Grant, err error) {
	if v, err = v.check(); err != nil {
		return nil, fmt.Errorf("the platform's answer: %w", err)
	}
	rec, err := r.remember(v)
	if err != nil {
		return nil, fmt.Errorf("where its events begin cannot be kept: %w", err)
	}
	var overtaken bool
	err = r.apply(func(now time.Time) {
		if overtaken = round != r.keeper.round; !overtaken {
			g = r.keeper.admit(d, v, rec, before, now)
		}
	})
	if err == nil && overtaken {
		err = errOvertaken
	}
	return g, err
}

// refuse ends the grant of a token that the platform knows no more.
func (r *Registry) refuse(before *Grant) error {
	return r.apply(func(time.Time) { r.keeper.endVerified(before, event.TokenRevoked) })
}

// RevokeVerified takes back what the platform said of a gateway's tokens, which ends
// their connections here. The next one that presents such a token has the platform
// asked again.
func (r *Registry) RevokeVerified(gatewayID string) error {
	return r.apply(func(time.Time) {
		r.keeper.round++
		r.keeper.endAllVerified(gatewayID, event.TokenRevoked)
	})
}

// admit carries in what the platform says of a token, whose gateway has a record.
func (k *keeper) admit(d digest, v Verified, rec *verifiedRecord, before *Grant, now time.Time) *Grant {
	if before != nil && before.Gateway.ID != v.GatewayID {
		k.endVerified(before, event.TokenRevoked)
	}
	e := k.vouched(v, rec)
	g := k.verified[v.GatewayID][d]
	if g == nil {
		g = k.newGrant(e, tokenRecord{ID: verifiedPrefix + hex.EncodeToString(d[:8]), SHA256: d, CreatedAt: now})
		if k.verified[v.GatewayID] == nil {
			k.verified[v.GatewayID] = make(map[digest]*Grant)
		}
		k.verified[v.GatewayID][d] = g
	}
	k.expiries.drop(g)
	g.expiresAt = v.ExpiresAt // of a verified grant, only this goroutine reads it
	if g.expired(now) {
		k.endVerified(g, event.TokenExpired)
		return nil
	}
	k.expiries.add(g)
	g.used.Store(now.UnixNano())
	k.seen[v.GatewayID] = now
	return g
}

// vouched returns the entry of a gateway that the platform vouches for. One that is
// registered stays as it is. When the platform has changed its mind on groups or
// organization, the connections it has come back as what it is now.
func (k *keeper) vouched(v Verified, rec *verifiedRecord) *entry {
	old := k.dir.entries[v.GatewayID]
	if old != nil && !old.vouched {
		return old
	}
	g := &Gateway{ID: v.GatewayID, OrganizationID: v.OrganizationID, Groups: v.Groups, Barrier: rec.barrier(v.Groups)}
	e := &entry{gateway: g, presence: new(presence), vouched: true}
	if old != nil {
		if sameGateway(old.gateway, g) {
			return old
		}
		e.presence = old.presence
	}
	k.endAllVerified(v.GatewayID, event.GatewayChanged) // first, as in put
	k.dir.replace(old, e)
	return e
}

// endVerified ends the grant of a verified token.
func (k *keeper) endVerified(g *Grant, reason event.CloseReason) {
	k.end(g, reason)
	k.forgetVerified(g)
}

func (k *keeper) endAllVerified(gatewayID string, reason event.CloseReason) {
	for _, g := range k.verified[gatewayID] {
		k.end(g, reason)
	}
	delete(k.verified, gatewayID)
}

func (k *keeper) forgetVerified(g *Grant) {
	of := k.verified[g.Gateway.ID]
	if of[g.digest] != g {
		return
	}
	if delete(of, g.digest); len(of) == 0 {
		delete(k.verified, g.Gateway.ID)
	}
}

// sweepVerified lets go of verified grants that nobody uses, and of gateways that
// have been away for long.
func (k *keeper) sweepVerified(now time.Time) {
	for _, of := range k.verified {
		for _, g := range of {
			_, ended := g.Revoked()
			if ended || g.QuotaUsed.Load() == 0 && now.Sub(time.Unix(0, g.used.Load())) > idleGrant {
				k.expiries.drop(g)
				k.forgetVerified(g)
			}
		}
	}
	maps.DeleteFunc(k.seen, func(id string, at time.Time) bool {
		e := k.dir.entries[id]
		switch {
		case e == nil || !e.vouched:
			return true
		case e.presence.places.Load() > 0 || e.presence.elsewhere.Load() > 0:
			k.seen[id] = now
		case now.Sub(at) > verifiedMemory:
			k.dir.replace(e, nil)
			return true
		}
		return false
	})
}

// vouchedElsewhere returns the entry of a gateway that another node has verified. It
// is nil when the registry is closed.
func (r *Registry) vouchedElsewhere(id string) (e *entry) {
	_ = r.apply(func(now time.Time) {
		if e = r.keeper.dir.entries[id]; e == nil {
			e = r.keeper.vouchedElsewhere(id)
			r.keeper.seen[id] = now
		}
	})
	return e
}

// vouchedElsewhere makes the entry of a gateway from its record, which this node may
// not have seen yet.
func (k *keeper) vouchedElsewhere(id string) *entry {
	rec := k.records[id].record
	if rec == nil {
		return k.vouched(Verified{GatewayID: id}, nil)
	}
	return k.vouched(rec.verified(), rec)
}

// A storedVerified is a verified gateway's record at its revision in the store.
type storedVerified struct {
	record   *verifiedRecord
	revision uint64
}

// learn carries in the record of a verified gateway. A gateway that this node knows
// from others alone becomes what the record says.
func (k *keeper) learn(id string, s storedVerified) {
	if k.records[id].revision >= s.revision {
		return
	}
	k.records[id] = s
	e := k.dir.entries[id]
	if e != nil && e.vouched && len(k.verified[id]) == 0 {
		k.vouched(s.record.verified(), s.record)
	}
}

// forget carries in that the record of a verified gateway was deleted.
func (k *keeper) forget(id string, revision uint64) {
	if k.records[id].revision < revision {
		delete(k.records, id)
	}
}

// remember returns the record of a gateway of which the platform says v, once the
// store has it. It is nil for a registered gateway, whose own record says more.
func (r *Registry) remember(v Verified) (*verifiedRecord, error) {
	var known storedVerified
	registered := false
	if err := r.apply(func(time.Time) {
		e := r.keeper.dir.entries[v.GatewayID]
		registered = e != nil && !e.vouched
		known = r.keeper.records[v.GatewayID]
	}); err != nil || registered {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	for range maxTries {
		if known.record.covers(v) {
			break
		}
		next, err := r.replaceVerified(ctx, v, known)
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
	return known.record, r.apply(func(time.Time) { r.keeper.learn(v.GatewayID, known) })
}

// replaceVerified stores the record that follows a known one.
func (r *Registry) replaceVerified(ctx context.Context, v Verified, known storedVerified) (next storedVerified, err error) {
	at, err := r.at(ctx)
	if err != nil {
		return next, err
	}
	if known.record == nil {
		at = r.start.Load().firstVerified(at, r.now())
	}
	next.record = known.record.follow(v, at)
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
