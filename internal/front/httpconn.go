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

// An httpConn is a connection that net/http serves, until a request on it is for
// the connect route. It knows whose it is, and tells when it is done with.
type httpConn struct {
	*http1.Conn
	under  *poller.Conn
	client net.Addr
	once   sync.Once
	done   func() // called once, when net/http is done with it

	// gateway is whose request is in progress; nil for nobody's that is known.
	gateway atomic.Pointer[activity.Requests]
}

// newHTTPConn returns the connection of which read was read.
func newHTTPConn(h *httpSide, c *poller.Conn, read []byte, client netip.AddrPort) *httpConn {
	conn, again := c.Rewind(read)
	hc := &httpConn{
		Conn: http1.NewConn(conn, &h.rules, again), under: c,
		client: net.TCPAddrFromAddrPort(client), done: func() { <-h.open },
	}
	hc.ReadsAhead = true
	hc.OnHijack = func(head *http1.Head, after []byte) {
		hc.once.Do(hc.done) // its place is another's while the upgrade is decided
		h.again(c, client, head, after)
	}
	return hc
}

// RemoteAddr returns the client's address, which a proxy may have told.
func (c *httpConn) RemoteAddr() net.Addr { return c.client }

// Close implements [net.Conn] for net/http.
func (c *httpConn) Close() error {
	c.once.Do(c.done)
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

func (c *httpConn) moved(n int) {
	if g := c.gateway.Load(); g != nil && n > 0 {
		g.BytesMoved(time.Now())
	}
}

// connKey is the key of a request's connection among the values of its context.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// busy notes that a gateway's request is in progress, until end is called: while
// it is, and its bytes move, the gateway is alive, though it may not come to
// answering pings.
func busy(cfg Config, r *http.Request) (end func()) {
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

// grant returns whose request it is, by the credential that it has, nil if that is
// not known.
func (c *httpConn) grant(cfg Config, r *http.Request) *auth.Grant {
	if token := r.Header.Get("api-key"); token != "" {
		return cfg.CachedGrant(token)
	}
	if cert := c.under.PeerCertificate(); cert != nil && cfg.VerifyCertificate != nil {
		if grant, ok := cfg.VerifyCertificate(cert); ok {
			return grant
		}
	}
	return nil
}
