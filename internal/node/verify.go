// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"time"

	"github.com/gatecast/gatecast/auth"
)

// newVerifier sets how tokens of gateways are verified: by the platform or by the
// registry. With a platform the registry is not asked at all, so that a token which the
// platform no longer knows cannot still be accepted here.
func (n *Node) newVerifier() error {
	if n.cfg.VerifyURL == "" {
		n.verify, n.cachedGrant = n.verifyRegistered, n.knownRegistered
		n.known = func(token string) bool { return n.knownRegistered(token) != nil }
		return nil
	}
	transport, err := platformTransport(n.cfg)
	if err != nil {
		return err
	}
	v := auth.NewVerifier(n.registry, n.cfg.VerifyURL, transport, n.verified)
	n.verify, n.cachedGrant = v.Verify, v.Cached
	n.known = func(token string) bool { return v.Cached(token) != nil || v.Known(token) }
	return nil
}

// knownRegistered returns the grant of a registered token, nil if this node does not know
// it.
func (n *Node) knownRegistered(token string) *auth.Grant {
	grant, _ := n.registry.Verify(token)
	return grant
}

// catchUpTimeout bounds how long a gateway that this node does not know waits. It then gets
// a 503 and comes back, to this node or to another.
const catchUpTimeout = 2 * time.Second

// verifyRegistered verifies a token by the registry. If other nodes share the registry,
// an unknown token is refused only after this node has caught up with them: a gateway
// that is refused exits for good.
func (n *Node) verifyRegistered(token string) (*auth.Grant, error) {
	if grant, ok := n.registry.Verify(token); ok {
		return grant, nil
	}
	if err := n.catchUp(); err != nil {
		return nil, err
	}
	if grant, ok := n.registry.Verify(token); ok {
		return grant, nil
	}
	return nil, auth.ErrRefused
}

// catchUp waits until this node knows all changes of the registry by other nodes.
func (n *Node) catchUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), catchUpTimeout)
	defer cancel()
	if err := n.registry.CatchUp(ctx); err != nil {
		return fmt.Errorf("%w: %w", auth.ErrNotSynced, err)
	}
	return nil
}

// verified counts a request to the platform. took is 0 if the answer was remembered.
func (n *Node) verified(result string, took time.Duration) {
	n.counts.Verifications.WithLabelValues(result).Inc()
	if took > 0 {
		n.counts.VerifySeconds.Observe(took.Seconds())
	}
}

// revokeVerified ends, on every node, the tokens of a gateway that the platform verified.
func (n *Node) revokeVerified(ctx context.Context, gatewayID string) error {
	end := func() error { return n.registry.RevokeVerified(gatewayID) }
	if n.peers != nil {
		end = func() error { return n.peers.EndVerified(ctx, gatewayID) }
	}
	err := end()
	n.registry.ForgetGranted(gatewayID) // also when a node did not answer
	return err
}
