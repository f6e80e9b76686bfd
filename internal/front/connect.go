// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/http1"
	"github.com/gatecast/gatecast/internal/netaddr"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/shard"

	"github.com/google/uuid"
)

// resumeTimeout limits the check of a position. The ack is due one second after the
// upgrade.
const resumeTimeout = 500 * time.Millisecond

// An admission is a connection that is allowed to upgrade.
type admission struct {
	upgrade *upgrade
	grant   *auth.Grant
	release func() // releases the connection quota
	counted func() // see shard.Registration.Counted
}

// connect serves the connect route: it hands the connection over to its shard, or refuses
// it. client is the peer, after a PROXY header. accepted is when the attempt started.
func (f *Front) connect(c *poller.Conn, client netip.AddrPort, head *http1.Head, after []byte, accepted time.Time) {
	if !f.isConnect(head) {
		f.refuseOtherPath(c, f.cfg.Proxies.forwardedFor(client, head), head)
		return
	}
	if !f.beginUpgrade() {
		f.refuse(c, draining())
		return
	}
	defer f.upgrades.Done()
	remote := f.cfg.Proxies.forwardedFor(client, head)
	a, refused := f.admit(head, remote, c.PeerCertificate(), accepted)
	if refused != nil {
		if refused.status == http.StatusUnauthorized {
			f.cfg.Logger.Warn("credentials refused", "remote", remote)
		} else {
			f.cfg.Logger.Info("connection refused", "remote", remote, "error", refused.code)
		}
		f.refuse(c, refused)
		return
	}
	handedOver := false
	defer func() {
		if !handedOver { // also after a panic, so that the TLS keys are wiped
			_ = c.Close()
			a.counted()
			a.release()
		}
	}()
	resume := f.resume(a.upgrade)
	if err := c.Detach(); err != nil {
		f.cfg.Logger.Error("cannot hand over a connection", "remote", remote, "error", err)
		f.closeConn(c, "internal_error")
		return
	}
	handedOver = true
	f.cfg.Node.ConnectsTotal.WithLabelValues("accepted").Inc()
	f.cfg.Node.HandshakeSeconds.Observe(time.Since(accepted).Seconds())
	gateway := a.grant.Gateway
	// The shard owns the connection from here on.
	f.cfg.Register(&shard.Registration{
		Peer: shard.Peer{
			GatewayID: gateway.ID, TokenID: a.grant.TokenID, Groups: gateway.Groups, OrganizationID: gateway.OrganizationID, Barrier: f.cfg.Barrier(gateway),
			Live: a.grant.Live, Requests: a.grant.Requests, Revoked: a.grant.Revoked,
		},
		ID:              uuid.New(),
		Remote:          remote,
		UpgradeResponse: a.upgrade.response,
		Resume:          resume,
		Open:            f.cfg.WebSocket.Opener(c, slices.Concat(after, c.Buffered()), a.upgrade.deflate),
		Abandon:         func() { _ = c.Close() },
		Counted:         a.counted,
		Closed:          a.release,
	})
}

// maxLoggedPath limits a path in a log line, in bytes.
const maxLoggedPath = 200

// refuseOtherPath refuses a WebSocket upgrade on a path that is not a connect path. The
// platform does not get it: its connection would bypass gatecast unseen.
func (f *Front) refuseOtherPath(c *poller.Conn, remote netip.AddrPort, head *http1.Head) {
	path := head.URL.Path
	f.cfg.Logger.Warn("refused a WebSocket upgrade on a path that is not in --connect-path; add the path if gateways connect there",
		"remote", remote, "path", path[:min(len(path), maxLoggedPath)], "connect-path", strings.Join(f.cfg.ConnectPaths, ","))
	f.refuse(c, otherPath())
}

// resume returns how the gateway resumes, nil for one without a position.
func (f *Front) resume(up *upgrade) *shard.Resume {
	if up.since == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), resumeTimeout)
	defer cancel()
	return f.cfg.Resume(ctx, up.since, up.latest)
}

// admit decides whether a request is upgraded. The checks are in order of cost. Cheap ones
// come first, so that a flood of attempts does not reach the platform. The quota is last:
// only connections that pass everything else count.
func (f *Front) admit(head *http1.Head, remote netip.AddrPort, cert *x509.Certificate, now time.Time) (*admission, *refusal) {
	if !f.addressAllowed(remote.Addr()) {
		return nil, forbidden()
	}
	up, refused := parseUpgrade(head, f.cfg.Compression)
	if refused == nil && !f.originAllowed(head) {
		refused = foreignOrigin()
	}
	if refused != nil {
		return nil, f.countRefused(remote.Addr(), now, refused)
	}
	if !f.cfg.Available() {
		return nil, logUnavailable()
	}
	grant, refused := f.authenticate(up.token, remote.Addr(), cert, now)
	if refused != nil {
		return nil, refused
	}
	counted, retryAfter := f.cfg.Limiter.Accept(grant, remote.Addr(), now)
	if counted == nil {
		return nil, rateLimited("too many connection attempts of this gateway from this address", retryAfter)
	}
	release, refused := f.acquireQuota(grant)
	if refused != nil {
		counted()
		return nil, refused
	}
	return &admission{up, grant, release, counted}, nil
}

// countRefused counts a refused attempt against its address. It returns the refusal, or 429
// if the address has had too many.
func (f *Front) countRefused(addr netip.Addr, now time.Time, refused *refusal) *refusal {
	if blocked := f.blocked(addr, now); blocked != nil {
		return blocked
	}
	f.cfg.Limiter.Refused(addr, now)
	return refused
}

// blocked returns the refusal of an address that has had too many refused attempts, else
// nil.
func (f *Front) blocked(addr netip.Addr, now time.Time) *refusal {
	if retryAfter, blocked := f.cfg.Limiter.Blocked(addr, now); blocked {
		return rateLimited("too many refused connection attempts from this address", retryAfter)
	}
	return nil
}

// authenticate returns the grant of an attempt. A credential that is not known is verified
// only if the address has no more than its share of such attempts. The lookup of known ones
// costs one hash, so a flood of guesses causes no I/O.
func (f *Front) authenticate(token string, addr netip.Addr, cert *x509.Certificate, now time.Time) (*auth.Grant, *refusal) {
	if !f.known(token, cert) {
		if refused := f.blocked(addr, now); refused != nil {
			return nil, refused
		}
		leave, refused := f.unknown.enter(addr)
		if refused != nil {
			return nil, refused
		}
		defer leave()
		if refused := f.blocked(addr, now); refused != nil { // by attempts that it waited for
			return nil, refused
		}
	}
	grant, err := f.identify(token, cert)
	if err == nil {
		return grant, nil
	}
	refused := f.identityRefusal(err)
	if refused.status == http.StatusUnauthorized { // the others are not the client's fault
		f.cfg.Limiter.Refused(addr, now)
	}
	return nil, refused
}

// known reports, without I/O, whether the credential of an attempt is known.
func (f *Front) known(token string, cert *x509.Certificate) bool {
	if token != "" || cert == nil {
		return f.cfg.Known != nil && f.cfg.Known(token)
	}
	_, ok := f.cfg.VerifyCertificate(cert)
	return ok
}

// identityRefusal returns the refusal for an error of identify. Only a node that knows
// all gateways says 401, after which real gateways exit for good.
func (f *Front) identityRefusal(err error) *refusal {
	switch {
	case errors.Is(err, auth.ErrUnreachable):
		return unavailable("cannot verify tokens: the platform is not reachable")
	case errors.Is(err, auth.ErrNotSynced):
		return unavailable("this node does not know yet what other nodes have registered")
	case !f.cfg.Available(): // in the meantime; the token can be a new one
		return logUnavailable()
	}
	return unauthorized()
}

// identify returns the grant of a token, or of a certificate when there is no token. It
// calls CatchUp before it refuses a certificate: another node can have registered the
// gateway a moment ago. Config.Verify does the same for tokens.
func (f *Front) identify(token string, cert *x509.Certificate) (*auth.Grant, error) {
	if token != "" || cert == nil {
		return f.cfg.Verify(token)
	}
	if grant, ok := f.cfg.VerifyCertificate(cert); ok {
		return grant, nil
	}
	if f.cfg.CatchUp != nil {
		if err := f.cfg.CatchUp(); err != nil {
			return nil, err
		}
	}
	if grant, ok := f.cfg.VerifyCertificate(cert); ok {
		return grant, nil
	}
	return nil, auth.ErrRefused
}

// addressAllowed reports whether gateways can connect from an address.
func (f *Front) addressAllowed(a netip.Addr) bool {
	return len(f.cfg.AllowFrom) == 0 || netaddr.Contains(f.cfg.AllowFrom, a)
}

// originAllowed reports whether a request is not from a web page, or from a page of an
// allowed origin.
func (f *Front) originAllowed(head *http1.Head) bool {
	origin, lines := head.Value("origin")
	return lines == 0 || lines == 1 && slices.Contains(f.cfg.AllowedOrigins, origin)
}
