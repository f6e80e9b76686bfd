// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"time"

	"github.com/gatecast/gatecast/auth"
)

// loadVerifier sets who knows gateways' tokens: the platform, or the registry.
func (n *Node) loadVerifier() error {
	if n.cfg.VerifyURL == "" {
		n.verify, n.known = n.verifyRegistered, n.knownRegistered
		return nil
	}
	transport, err := platformTransport(n.cfg)
	if err != nil {
		return err
	}
	v := auth.NewVerifier(n.registry, n.cfg.VerifyURL, transport, n.verified)
	n.verify, n.known = v.Verify, v.Cached
	return nil
}

func (n *Node) knownRegistered(token string) *auth.Grant {
	grant, _ := n.registry.Verify(token)
	return grant
}

// catchUpTimeout bounds how long a gateway waits that this node does not know.
const catchUpTimeout = 2 * time.Second

// verifyRegistered verifies a token by the registry. Where other nodes share it, one that
// this node does not know is refused only when nobody has added it: real gateways exit
// for good when they are refused.
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

// catchUp waits until this node knows what the others have changed.
func (n *Node) catchUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), catchUpTimeout)
	defer cancel()
	if err := n.registry.CatchUp(ctx); err != nil {
		return fmt.Errorf("%w: %w", auth.ErrNotSynced, err)
	}
	return nil
}

// verified counts a question to the platform.
func (n *Node) verified(result string, took time.Duration) {
	n.counts.Verifications.WithLabelValues(result).Inc()
	if took > 0 {
		n.counts.VerifySeconds.Observe(took.Seconds())
	}
}

// endVerified takes back on every node what the platform said of a gateway's tokens.
func (n *Node) endVerified(ctx context.Context, gatewayID string) error {
	if n.peers == nil {
		return n.registry.RevokeVerified(gatewayID)
	}
	return n.peers.EndVerified(ctx, gatewayID)
}
