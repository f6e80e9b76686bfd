// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/jwtauth"
	"github.com/gatecast/gatecast/internal/settings"
)

// externalGateways reports whether gateways without a registration can connect.
func (n *Node) externalGateways() bool { return n.cfg.VerifyURL != "" || n.cfg.JWTKeys != "" }

// startJWT has tokens in the form of a JSON Web Token verified by their signature, and not
// otherwise, if there are keys for it. It does not change how others are verified.
func (n *Node) startJWT() error {
	if n.cfg.JWTKeys == "" {
		return nil
	}
	transport, err := keysTransport(n.cfg)
	if err != nil {
		return err
	}
	if strings.HasPrefix(n.cfg.JWTKeys, "http://") {
		n.cfg.Logger.Warn("the keys of signed tokens are loaded without TLS: whoever can change the answer decides who connects; use https:// or a file",
			"jwt-keys", n.cfg.JWTKeys)
	}
	v, err := jwtauth.Start(context.Background(), jwtauth.Config{
		Keys:         n.cfg.JWTKeys,
		Transport:    transport,
		Issuer:       n.cfg.JWTIssuer,
		Audience:     n.cfg.JWTAudience,
		GatewayClaim: n.cfg.JWTGatewayClaim,
		OrgClaim:     n.cfg.JWTOrgClaim,
		GroupsClaim:  n.cfg.JWTGroupsClaim,
		Registry:     n.registry,
		Observe:      func(result string) { n.counts.Verifications.WithLabelValues(result).Inc() },
		Loaded:       n.keysLoaded,
		Logger:       n.cfg.Logger,
	})
	if err != nil {
		return settings.NewError("jwt-keys", err.Error())
	}
	n.onStop(v.Stop)
	n.onStop(transport.CloseIdleConnections)
	n.jwt = v
	verify, cachedGrant, known := n.verify, n.cachedGrant, n.known
	n.verify = func(token string) (*auth.Grant, error) {
		if jwtauth.IsJWT(token) {
			return v.Verify(token)
		}
		return verify(token)
	}
	n.cachedGrant = func(token string) *auth.Grant {
		if jwtauth.IsJWT(token) {
			return v.Cached(token)
		}
		return cachedGrant(token)
	}
	n.known = func(token string) bool {
		if jwtauth.IsJWT(token) {
			return v.Cached(token) != nil
		}
		return known(token)
	}
	return nil
}

// keysTransport returns the transport for requests of a key set. An issuer is often a
// public service while the platform has a private certificate, so it trusts the system's
// authorities and those of the platform.
func keysTransport(cfg Config) (*http.Transport, error) {
	transport, err := platformTransport(cfg)
	if err != nil || cfg.PlatformCA == "" {
		return transport, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil { // then it trusts the platform's only
		roots = x509.NewCertPool()
	}
	text, err := os.ReadFile(cfg.PlatformCA)
	if err != nil || !roots.AppendCertsFromPEM(text) {
		return nil, settings.NewError("platform-ca", fmt.Sprintf("cannot be read: %v", err))
	}
	transport.TLSClientConfig.RootCAs = roots
	return transport, nil
}

// keysLoaded counts a load of keys.
func (n *Node) keysLoaded(keys int, err error) {
	result := "loaded"
	if err != nil {
		result = "failed"
	}
	n.counts.KeyLoads.WithLabelValues(result).Inc()
	n.counts.Keys.Set(float64(keys))
}

// endVerified ends, on this node, the tokens of a gateway that were verified by the
// platform or by their signature. Another node has revoked them. With signed tokens it
// first waits until this node knows that, so that they are refused from now on.
func (n *Node) endVerified(gatewayID string) error {
	if n.jwt != nil {
		if err := n.catchUp(); err != nil {
			return err
		}
	}
	return n.registry.RevokeVerified(gatewayID)
}
