// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"slices"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// Verify returns the grant of a token's secret. The answer is the same for a secret that
// is unknown, expired, revoked or empty. A token that expired because somebody set the
// clock forward stays expired until a restart.
func (r *Registry) Verify(secret string) (*Grant, bool) {
	d, ok := digestOf(secret)
	if !ok {
		return nil, false
	}
	g := r.dir.grant(d)
	if g == nil {
		return nil, false
	}
	now := r.now()
	if _, revoked := g.Revoked(); revoked || g.expired(now) {
		return nil, false
	}
	g.used.Store(now.UnixNano())
	return g, true
}

// Get returns a registered gateway.
func (r *Registry) Get(id string) (Gateway, bool) {
	e := r.dir.entry(id)
	if e == nil || e.external {
		return Gateway{}, false
	}
	return *e.gateway, true
}

// Lookup returns a gateway, registered or external; nil when this node knows none with
// the id.
func (r *Registry) Lookup(id string) *Gateway {
	e := r.dir.entry(id)
	if e == nil {
		return nil
	}
	return e.gateway
}

// HasLocal reports whether a gateway has a connection to this node.
func (r *Registry) HasLocal(gatewayID string) bool {
	e := r.dir.entry(gatewayID)
	return e != nil && e.presence.local.Load() > 0
}

// List returns up to limit registered gateways, and at least one, in the order of their
// ids. The first has the first id greater than after. next is the value of after for the
// next page; empty: there are no more.
func (r *Registry) List(after string, limit int) (page []Gateway, next string) {
	return r.dir.page(after, max(limit, 1))
}

// Tokens returns the tokens of a registered gateway, oldest first. Expired tokens are
// included until AddToken drops them. The error matches ErrNotFound.
func (r *Registry) Tokens(gatewayID string) ([]Token, error) {
	e := r.dir.entry(gatewayID)
	if e == nil || e.external {
		return nil, noGateway(gatewayID)
	}
	tokens := make([]Token, len(e.grants))
	for i, g := range e.grants {
		tokens[i] = g.token()
	}
	return tokens, nil
}

// Reach returns the number of gateways of a target, and the number of those with a
// connection to any node. If the target names an id that is no gateway, unknown is the
// first such id and the counts are 0. A group without gateways is not unknown.
func (r *Registry) Reach(t event.Target) (targets, connected int, unknown string) {
	return r.dir.reach(t)
}

// Disconnected returns up to limit gateways of a target without a connection to any node,
// and the number of all such gateways.
func (r *Registry) Disconnected(t event.Target, limit int) (ids []string, total int) {
	return r.dir.disconnected(t, limit)
}

// EachTarget calls f with every gateway of a target. With [Options.External] that
// includes ids that this node does not know. f must not call the registry.
func (r *Registry) EachTarget(t event.Target, f func(*Gateway)) {
	r.dir.mu.RLock()
	defer r.dir.mu.RUnlock()
	for g := range r.dir.eachTarget(t) {
		f(g)
	}
}

// EachLocal calls f with the id of every gateway that has a connection to this node. f
// must not call the registry.
func (r *Registry) EachLocal(f func(id string)) {
	r.dir.mu.RLock()
	defer r.dir.mu.RUnlock()
	for p, g := range r.dir.all {
		if p.local.Load() > 0 {
			f(g.ID)
		}
	}
}

// Len returns the number of gateways, registered and external.
func (r *Registry) Len() int { return r.dir.len() }

// remoteBatch is the number of gateways that UpdateRemote changes under one lock.
const remoteBatch = 500

// UpdateRemote records that one other node more has a connection of each gateway in
// connected, and one less of each in disconnected. A gateway can be reported before this
// node knows it, and after it was removed. One goroutine at a time can call UpdateRemote.
func (r *Registry) UpdateRemote(connected, disconnected []string) {
	for ids := range slices.Chunk(connected, remoteBatch) {
		unknown := r.dir.addRemote(ids, 1)
		if r.dir.external && len(unknown) > 0 { // the other node has verified them
			_ = r.apply(func(now time.Time) { r.state.addExternals(unknown, now) }) // fails only after Close
		}
	}
	for ids := range slices.Chunk(disconnected, remoteBatch) {
		r.dir.addRemote(ids, -1)
	}
}
