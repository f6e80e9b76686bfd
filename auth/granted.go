// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// grantedKey starts the keys of granted tokens in the store, which end with the digest. A
// granted token is one that the platform has accepted. To be remembered is no right to
// connect: the platform is asked all the same. It only says that the token is no guess.
const grantedKey = "granted."

const (
	// grantedFor is how long a token is remembered after the platform has granted it.
	grantedFor = 24 * time.Hour
	// grantedRewrite is the age at which the time in the store is renewed. So a token is
	// kept for up to that much longer.
	grantedRewrite = 6 * time.Hour
	// maxGranted limits the tokens that are remembered, of some 150 bytes each.
	maxGranted = 1_000_000
	// grantedTimeout limits a write to the store while a gateway waits for its connection.
	grantedTimeout = time.Second
	// grantedPrune limits the expired tokens that are deleted from the store at a time, every
	// grantedPruneEvery-th time that last uses are stored.
	grantedPrune      = 10_000
	grantedPruneEvery = 60
)

// A grantedRecord is a granted token in the store.
type grantedRecord struct {
	GatewayID string    `json:"gatewayId"`
	GrantedAt time.Time `json:"grantedAt"`
}

// A grantedToken is what this node knows of one.
type grantedToken struct {
	gatewayID string
	at        int64 // when it was granted, in Unix seconds
	revision  uint64
}

// expired reports whether the token is remembered no more.
func (t grantedToken) expired(now time.Time) bool {
	return now.Sub(time.Unix(t.at, 0)) > grantedFor+grantedRewrite
}

// A grantedTokens is the tokens that the platform has granted to any node. The watch of the
// registry fills it. Any goroutine can use it.
type grantedTokens struct {
	mu     sync.RWMutex
	tokens map[digest]grantedToken
}

func (g *grantedTokens) get(d digest) (grantedToken, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	t, ok := g.tokens[d]
	return t, ok
}

// put adds a token, or replaces an older report of it.
func (g *grantedTokens) put(d digest, t grantedToken) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old, known := g.tokens[d]
	if known && old.revision >= t.revision || !known && len(g.tokens) >= maxGranted {
		return
	}
	if g.tokens == nil {
		g.tokens = make(map[digest]grantedToken)
	}
	g.tokens[d] = t
}

// remove removes a token, unless a later report than revision has brought it.
func (g *grantedTokens) remove(d digest, revision uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t, ok := g.tokens[d]; ok && t.revision <= revision {
		delete(g.tokens, d)
	}
}

// filter returns up to limit tokens for which want is true.
func (g *grantedTokens) filter(limit int, want func(grantedToken) bool) map[digest]grantedToken {
	g.mu.RLock()
	defer g.mu.RUnlock()
	found := make(map[digest]grantedToken)
	for d, t := range g.tokens {
		if len(found) == limit {
			break
		}
		if want(t) {
			found[d] = t
		}
	}
	return found
}

// parseGranted parses a granted token of the store.
func parseGranted(id string, value []byte) (d digest, rec grantedRecord, err error) {
	if err := d.UnmarshalText([]byte(id)); err != nil {
		return d, rec, err
	}
	if err := json.Unmarshal(value, &rec); err != nil {
		return d, rec, fmt.Errorf("not the JSON of a granted token: %w", err)
	}
	if !event.ValidName(rec.GatewayID) {
		return d, rec, badName("gatewayId")
	}
	rec.GrantedAt, err = storedTime("grantedAt", rec.GrantedAt)
	return d, rec, err
}

// handleGranted handles a granted token of the store. A corrupt one is not remembered.
func (f *feed) handleGranted(id string, c Change) {
	if c.Deleted {
		var d digest
		if d.UnmarshalText([]byte(id)) == nil {
			f.r.granted.remove(d, c.Revision)
		}
		return
	}
	if d, rec, err := parseGranted(id, c.Value); err == nil {
		f.r.granted.put(d, grantedToken{rec.GatewayID, rec.GrantedAt.Unix(), c.Revision})
	}
}

// wasGranted reports whether the platform has granted a token within the last day, to any
// node.
func (r *Registry) wasGranted(d digest) bool {
	t, ok := r.granted.get(d)
	return ok && !t.expired(r.now())
}

// rememberGranted stores that the platform has granted a token. An error costs only that:
// the token can be taken for a guess after a restart.
func (r *Registry) rememberGranted(d digest, gatewayID string) {
	now := r.now()
	known, ok := r.granted.get(d)
	if ok && known.gatewayID == gatewayID && now.Sub(time.Unix(known.at, 0)) < grantedRewrite {
		return
	}
	value, marshalErr := json.Marshal(grantedRecord{gatewayID, now.UTC().Truncate(time.Second)})
	if marshalErr != nil {
		panic("BUG: cannot marshal a grantedRecord: " + marshalErr.Error())
	}
	ctx, cancel := context.WithTimeout(context.Background(), grantedTimeout)
	defer cancel()
	key := grantedKey + hex.EncodeToString(d[:])
	revision, err := uint64(0), ErrConflict
	if ok {
		revision, err = r.store.Update(ctx, key, value, known.revision)
	}
	if errors.Is(err, ErrConflict) { // also when the store has lost it
		revision, err = r.store.Create(ctx, key, value)
	}
	switch {
	case err == nil:
		r.granted.put(d, grantedToken{gatewayID, now.Unix(), revision})
	case !errors.Is(err, ErrConflict): // which says that another node has stored it, and the watch reports it
		r.log.Debug("registry: cannot store that a token was granted", "gateway", gatewayID, "error", err)
	}
}

// forgetGranted forgets a token that the platform no longer accepts.
func (r *Registry) forgetGranted(d digest) {
	if t, ok := r.granted.get(d); ok {
		ctx, cancel := context.WithTimeout(context.Background(), grantedTimeout)
		defer cancel()
		r.deleteGranted(ctx, d, t)
	}
}

// ForgetGranted forgets that the platform has granted tokens of a gateway, on all nodes. It
// is called after RevokeVerified.
func (r *Registry) ForgetGranted(gatewayID string) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	for d, t := range r.granted.filter(maxGranted, func(t grantedToken) bool { return t.gatewayID == gatewayID }) {
		r.deleteGranted(ctx, d, t)
	}
}

// pruneGranted deletes expired tokens.
func (r *Registry) pruneGranted(ctx context.Context) {
	now := r.now()
	for d, t := range r.granted.filter(grantedPrune, func(t grantedToken) bool { return t.expired(now) }) {
		if ctx.Err() != nil {
			return
		}
		r.deleteGranted(ctx, d, t)
	}
}

// deleteGranted deletes a token in memory and in the store. If the store fails, the token
// expires.
func (r *Registry) deleteGranted(ctx context.Context, d digest, t grantedToken) {
	r.granted.remove(d, t.revision)
	err := r.store.Delete(ctx, grantedKey+hex.EncodeToString(d[:]), t.revision)
	if err != nil && !errors.Is(err, ErrConflict) { // another node has deleted or renewed it
		r.log.Debug("registry: cannot delete a granted token", "gateway", t.gatewayID, "error", err)
	}
}
