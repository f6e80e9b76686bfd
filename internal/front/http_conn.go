// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/activity"
	"github.com/gatecast/gatecast/internal/http1"
	"github.com/gatecast/gatecast/poller"
)

// An httpConn is a connection that net/http serves until a request on it is for the
// connect route. It has the client's address, and frees its token when it ends.
type httpConn struct {
	*http1.Conn
	under   *poller.Conn
	client  net.Addr
	once    sync.Once
	release func() // frees the token in httpServer.open; called once

	// gateway is the gateway of the request in progress; nil for none that is known.
	gateway atomic.Pointer[activity.Requests]
}

// newHTTPConn returns a connection. read is what was already read from it.
func newHTTPConn(h *httpServer, c *poller.Conn, read []byte, client netip.AddrPort) *httpConn {
	conn, again := c.Rewind(read)
	hc := &httpConn{
		Conn: http1.NewConn(conn, &h.rules, again), under: c,
		client: net.TCPAddrFromAddrPort(client), release: func() { <-h.open },
	}
	hc.ReadsAhead = true
	hc.OnHijack = func(head *http1.Head, after []byte) {
		hc.once.Do(hc.release) // net/http no longer serves it
		h.upgrade(c, client, head, after)
	}
	return hc
}

// RemoteAddr returns the client's address, possibly from a PROXY header.
func (c *httpConn) RemoteAddr() net.Addr { return c.client }

// Close implements [net.Conn] for net/http.
func (c *httpConn) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}

// Read implements [net.Conn] for net/http.
func (c *httpConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.moved(n)
	return n, err
}

// Write implements [net.Conn] for net/http.
func (c *httpConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.moved(n)
	return n, err
}

// moved records that bytes of a request or response have moved.
func (c *httpConn) moved(n int) {
	if g := c.gateway.Load(); g != nil && n > 0 {
		g.BytesMoved(time.Now())
	}
}

// connKey is the context key of a request's connection.
type connKey struct{}

// withConn is http.Server.ConnContext.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// trackRequest records that a gateway's request is in progress, until end is called. A
// gateway with a request whose bytes move is alive, also when it does not answer pings.
func trackRequest(cfg Config, r *http.Request) (end func()) {
	c, ok := r.Context().Value(connKey{}).(*httpConn)
	if !ok || cfg.CachedGrant == nil {
		return func() {}
	}
	grant := c.grant(cfg, r)
	if grant == nil || grant.Requests == nil {
		return func() {}
	}
	grant.Requests.Begin(time.Now())
	c.gateway.Store(grant.Requests)
	return func() {
		c.gateway.Store(nil)
		grant.Requests.End(time.Now())
	}
}

// grant returns the grant of a request's credential, nil when it is not known.
func (c *httpConn) grant(cfg Config, r *http.Request) *auth.Grant {
	if token, ok := credential(r.Header.Get("api-key"), r.Header.Get("Authorization")); !ok {
		return nil
	} else if token != "" {
		return cfg.CachedGrant(token)
	}
	if cert := c.under.PeerCertificate(); cert != nil && cfg.VerifyCertificate != nil {
		if grant, ok := cfg.VerifyCertificate(cert); ok {
			return grant
		}
	}
	return nil
}
