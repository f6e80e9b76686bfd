// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"time"

	"gatecast/auth"
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
	n.verify, n.known = v.Verify, v.Known
	return nil
}

func (n *Node) knownRegistered(token string) *auth.Grant {
	grant, _ := n.registry.Verify(token)
	return grant
}

func (n *Node) verifyRegistered(token string) (*auth.Grant, error) {
	if grant, ok := n.registry.Verify(token); ok {
		return grant, nil
	}
	return nil, auth.ErrRefused
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
		return n.registry.EndVerified(gatewayID)
	}
	return n.peers.endVerified(ctx, gatewayID)
}
