// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"time"

	"gatecast/event"
	"gatecast/stats"
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
	var overtaken bool
	err = r.apply(func(now time.Time) {
		if overtaken = round != r.keeper.round; !overtaken {
			g = r.keeper.admit(d, v, before, now)
		}
	})
	if err == nil && overtaken {
		err = errOvertaken
	}
	return g, err
}

// refuse ends the grant of a token that the platform knows no more.
func (r *Registry) refuse(before *Grant) error {
	return r.apply(func(time.Time) { r.keeper.endVerified(before, stats.TokenRevoked) })
}

// EndVerified takes back what the platform said of a gateway's tokens, which ends
// their connections here. The next one that presents such a token has the platform
// asked again.
func (r *Registry) EndVerified(gatewayID string) error {
	return r.apply(func(time.Time) {
		r.keeper.round++
		r.keeper.endAllVerified(gatewayID, stats.TokenRevoked)
	})
}

// admit carries in what the platform says of a token.
func (k *keeper) admit(d digest, v Verified, before *Grant, now time.Time) *Grant {
	if before != nil && before.Gateway.ID != v.GatewayID {
		k.endVerified(before, stats.TokenRevoked)
	}
	e := k.vouched(v, now)
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
		k.endVerified(g, stats.TokenExpired)
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
func (k *keeper) vouched(v Verified, now time.Time) *entry {
	old := k.dir.entries[v.GatewayID]
	if old != nil && !old.vouched {
		return old
	}
	g := &Gateway{ID: v.GatewayID, OrganizationID: v.OrganizationID, Groups: v.Groups, CreatedAt: now}
	e := &entry{gateway: g, presence: new(presence), vouched: true}
	if old != nil {
		g.CreatedAt = old.gateway.CreatedAt
		if sameGateway(old.gateway, g) {
			return old
		}
		e.presence = old.presence
	}
	k.dir.replace(old, e)
	k.endAllVerified(v.GatewayID, stats.GatewayChanged)
	return e
}

// endVerified ends the grant of a verified token.
func (k *keeper) endVerified(g *Grant, reason stats.Disconnect) {
	k.end(g, reason)
	k.forgetVerified(g)
}

func (k *keeper) endAllVerified(gatewayID string, reason stats.Disconnect) {
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
			if ended || g.Places.Load() == 0 && now.Sub(time.Unix(0, g.used.Load())) > idleGrant {
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

// vouchedElsewhere returns the entry of a gateway that only another node knows, of
// which no more is known than that. It is nil when the registry is closed.
func (r *Registry) vouchedElsewhere(id string) (e *entry) {
	_ = r.apply(func(now time.Time) {
		if e = r.keeper.dir.entries[id]; e == nil {
			e = r.keeper.vouched(Verified{GatewayID: id}, now)
			r.keeper.seen[id] = now
		}
	})
	return e
}
