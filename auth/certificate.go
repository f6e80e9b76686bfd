// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// certificatePrefix starts the token ids of certificates' grants.
const certificatePrefix = "certificate:"

// A certificate identifies a client certificate.
type certificate struct {
	gatewayID string
	id        string // token id of its grant, from the certificate's digest
	notAfter  time.Time
}

// certificateGateway returns the gateway id in a certificate: from a URI SAN gateway:ID,
// else from the common name.
func certificateGateway(c *x509.Certificate) string {
	for _, u := range c.URIs {
		if u.Scheme == "gateway" {
			return u.Opaque
		}
	}
	return c.Subject.CommonName
}

// VerifyCertificate returns the grant of a client certificate that names a known
// gateway. The caller has verified the chain. The grant ends when the certificate
// expires, and when the gateway is removed.
func (r *Registry) VerifyCertificate(c *x509.Certificate) (*Grant, bool) {
	id := certificateGateway(c)
	if !event.ValidName(id) {
		return nil, false
	}
	digest := sha256.Sum256(c.Raw)
	cert := certificate{id, certificatePrefix + hex.EncodeToString(digest[:8]), c.NotAfter}
	var g *Grant
	err := r.apply(func(now time.Time) { g = r.state.certGrant(cert, now) })
	return g, err == nil && g != nil
}

// certGrant returns the grant of a certificate, nil without one.
func (s *registryState) certGrant(c certificate, now time.Time) *Grant {
	e := s.dir.entries[c.gatewayID]
	if e == nil || !now.Before(c.notAfter) {
		return nil
	}
	if g := s.certGrants[c]; g != nil && g.Live == &e.presence.local {
		if _, ended := g.Revoked(); !ended {
			return g
		}
	}
	g := s.newGrant(e, tokenRecord{ID: c.id, CreatedAt: now, ExpiresAt: c.notAfter})
	s.expiries.add(g)
	s.certGrants[c] = g
	return g
}

// endCertGrants ends the grants of the certificates of the gateway with a presence.
func (s *registryState) endCertGrants(p *presence, reason event.CloseReason) {
	for c, g := range s.certGrants {
		if g.Live == &p.local {
			s.end(g, reason)
			delete(s.certGrants, c)
		}
	}
}

// dropEndedCertGrants drops the grants of certificates that have ended.
func (s *registryState) dropEndedCertGrants() {
	for c, g := range s.certGrants {
		if _, ended := g.Revoked(); ended {
			delete(s.certGrants, c)
		}
	}
}
