// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/http1"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"
)

// Config configures a [Front]. Fields without a default must be set.
type Config struct {
	// Identity.

	// Verify returns the grant of a token, or an error that matches auth.ErrRefused,
	// auth.ErrUnreachable or auth.ErrNotSynced.
	Verify func(token string) (*auth.Grant, error)
	// CachedGrant returns the grant of a token if it is known without I/O, else nil. A
	// nil CachedGrant knows none: requests to the platform are no signs of life then.
	CachedGrant func(token string) *auth.Grant
	// Known reports, without I/O, whether a token is valid or was when it was last
	// verified. A nil Known knows none. Tokens that are not known are verified a few at a
	// time per address, and none while refused attempts from the address are blocked.
	Known func(token string) bool
	// VerifyCertificate returns the grant of a verified client certificate. It is called
	// for a connection without a token. It can be nil when TLS asks for none.
	VerifyCertificate func(*x509.Certificate) (*auth.Grant, bool)
	// CatchUp returns when this node knows the gateways that other nodes have registered,
	// or an error that matches auth.ErrNotSynced. Nil: no other node registers any.
	CatchUp func() error

	// Limits.

	Limiter *auth.AttemptLimiter
	Limits  Limits
	// ConnectPaths are the paths of the connect route; empty: ConnectPath.
	ConnectPaths []string
	// AllowFrom has the addresses that gateways can connect from; empty: all.
	AllowFrom []netip.Prefix
	// AllowedOrigins has the web origins whose pages can connect, as browsers write them;
	// empty: none.
	AllowedOrigins []string
	Proxies        Proxies

	// Transport.

	TLS *poller.TLS // nil: plaintext
	// Compression accepts offers of permessage-deflate.
	Compression bool
	WebSocket   *shard.WebSocket

	// Delivery.

	// Register takes over an upgraded connection.
	Register func(*shard.Registration)
	// Resume returns how a gateway resumes after the position it names. latest: only the
	// newest event of each key.
	Resume func(ctx context.Context, since string, latest bool) *shard.Resume
	// Barrier returns the barrier of a gateway. Nil: there are no barriers.
	Barrier func(*auth.Gateway) shard.Barrier
	// Available reports whether events can be delivered.
	Available func() bool

	// Platform serves all requests except upgrades and /health. Nil: they are refused.
	Platform http.Handler

	Node   *metrics.Node
	Logger *slog.Logger
}

const (
	// requestTimeout limits everything from accept to the upgrade.
	requestTimeout = 10 * time.Second
	// maxHandshakes is the number of handshake slots: pending connections at once. Each
	// costs a goroutine and some tens of kilobytes.
	maxHandshakes = 512
	// drainTimeout is how long pending connections have when the front drains.
	drainTimeout = time.Second
)

// A Front accepts gateways. Any goroutine can call its methods.
type Front struct {
	// Constant after New.
	cfg          Config
	http         *httpServer
	slots        chan struct{} // the handshake semaphore: one token per pending connection
	buffers      sync.Pool     // *[]byte of http1.MaxHead
	releaseTotal func()        // releases a connection that counts against Limits.Total only

	// Written and read by any goroutine.
	unknown  unknownGate
	live     atomic.Int64   // connections that count against Limits.Total
	handling sync.WaitGroup // accepting goroutines and pending connections
	upgrades sync.WaitGroup // upgrades being decided; none starts while draining

	mu        sync.Mutex
	draining  atomic.Bool // upgrades are refused; written with mu held
	closing   atomic.Bool // the listeners are closed; written with mu held
	listeners []net.Listener
	pending   map[*pendingConn]struct{}
}

// New returns a front that accepts nothing yet.
func New(cfg Config) *Front {
	if cfg.Barrier == nil {
		cfg.Barrier = func(*auth.Gateway) shard.Barrier { return shard.Barrier{} }
	}
	if len(cfg.ConnectPaths) == 0 {
		cfg.ConnectPaths = []string{ConnectPath}
	}
	f := &Front{cfg: cfg, slots: make(chan struct{}, maxHandshakes), pending: make(map[*pendingConn]struct{})}
	f.buffers.New = func() any { b := make([]byte, http1.MaxHead); return &b }
	f.releaseTotal = func() { f.live.Add(-1) }
	f.http = newHTTPServer(f)
	return f
}

// Serve accepts connections of ln until Drain closes it; then it returns nil.
func (f *Front) Serve(ln net.Listener) error {
	if !f.addListener(ln) {
		return ln.Close()
	}
	defer f.handling.Done()
	for {
		f.acquireSlot() // before Accept, so that connections without a slot wait in the kernel's queue
		nc, err := ln.Accept()
		if err != nil {
			<-f.slots
			if f.closing.Load() {
				return nil
			}
			return err
		}
		p := f.addPending(nc)
		f.handling.Go(func() {
			defer f.removePending(p)
			defer f.recoverPanic(p)
			f.handle(p)
		})
	}
}

// addListener registers a listener and counts its goroutine in f.handling. It reports
// false while the front drains.
func (f *Front) addListener(ln net.Listener) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing.Load() {
		return false
	}
	f.listeners = append(f.listeners, ln)
	f.handling.Add(1)
	return true
}

// Live returns the number of connections that count against Limits.Total.
func (f *Front) Live() int { return int(f.live.Load()) }

// beginUpgrade counts an upgrade in f.upgrades. It reports false after StopUpgrades. The
// caller calls f.upgrades.Done.
func (f *Front) beginUpgrade() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.draining.Load() {
		return false
	}
	f.upgrades.Add(1)
	return true
}

// StopUpgrades refuses upgrades from now on. Other requests are still served, one per
// connection. When it returns, nothing more is registered. It waits for tokens that are
// being verified.
func (f *Front) StopUpgrades() {
	f.mu.Lock()
	f.draining.Store(true)
	f.mu.Unlock()
	f.http.server.SetKeepAlivesEnabled(false)
	f.upgrades.Wait()
}

// Drain stops accepting and refuses pending upgrades. When it returns, no connection is
// pending and nothing more is registered. Other requests can take until ctx ends.
func (f *Front) Drain(ctx context.Context) error {
	f.mu.Lock()
	f.draining.Store(true)
	f.closing.Store(true)
	for _, ln := range f.listeners {
		_ = ln.Close()
	}
	f.listeners = nil
	f.mu.Unlock()

	timeout, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	stop := context.AfterFunc(timeout, f.closePending)
	f.handling.Wait()
	err := f.http.shutdown(ctx)
	f.upgrades.Wait()
	stop()
	return err
}

// closePending closes all pending connections.
func (f *Front) closePending() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.pending {
		_ = p.conn.Close()
	}
}

// handle takes a new connection through PROXY header, TLS handshake and first request.
func (f *Front) handle(p *pendingConn) {
	nc := p.conn
	deadline := p.accepted.Add(requestTimeout)
	_ = nc.SetDeadline(deadline) // fails only on a closed connection, where the next call fails too
	client, buffered, err := f.cfg.Proxies.readHeader(nc)
	if err != nil {
		f.cfg.Logger.Warn("refused a malformed PROXY protocol header", "remote", nc.RemoteAddr(), "error", err)
		f.closeConn(nc, p.result("bad_proxy_header"))
		return
	}
	if f.cfg.TLS != nil {
		var plain bool
		if buffered, plain = detectTLS(nc, buffered, deadline); plain {
			f.refuse(nc, refusalOf(http1.ErrPlain))
			return
		}
	}
	c := poller.NewConn(nc, f.cfg.TLS)
	c.Unread(buffered)
	if err := c.Handshake(); err != nil {
		f.cfg.Logger.Debug("TLS handshake failed", "remote", nc.RemoteAddr(), "error", err)
		f.closeConn(c, p.result("tls_failed"))
		return
	}
	f.serveFirst(p, c, client)
}

// serveFirst reads the first request of a connection, and hands the connection over.
func (f *Front) serveFirst(p *pendingConn, c *poller.Conn, client netip.AddrPort) {
	buf := f.buffers.Get().(*[]byte)
	defer f.buffers.Put(buf)
	head, after, err := readHead(c, *buf)
	bad, malformed := errors.AsType[*http1.Error](err)
	switch {
	case !p.requestComplete():
		f.closeConn(c, resultEvicted)
	case malformed:
		f.refuse(c, refusalOf(bad))
	case err != nil:
		f.closeConn(c, "incomplete")
	case !f.isOurs(head):
		f.http.serve(c, (*buf)[:len(head.Text())+len(after)], client)
	default:
		f.connect(c, client, head, after, p.accepted)
	}
}

// serveUpgrade handles an upgrade on a connection that has carried other requests. It
// runs on the goroutine of net/http, which waits.
func (f *Front) serveUpgrade(c *poller.Conn, client netip.AddrPort, head *http1.Head, after []byte) {
	accepted := time.Now()
	f.acquireSlot()
	p := f.addPending(c.NetConn())
	p.requestComplete()
	defer f.removePending(p)
	defer f.recoverPanic(p)
	_ = p.conn.SetDeadline(accepted.Add(requestTimeout)) // as in handle
	f.connect(c, client, head, after, accepted)
}

// A refusable is a connection that a refusal can be written to.
type refusable interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// refuse writes a refusal and closes the connection.
func (f *Front) refuse(c refusable, r *refusal) {
	f.cfg.Node.ConnectsTotal.WithLabelValues(cmp.Or(r.result, r.code)).Inc()
	if _, err := c.Write(r.response()); err == nil {
		http1.Linger(c)
	}
	_ = c.Close()
}

// closeConn closes a connection without a response. result is the metric label.
func (f *Front) closeConn(c io.Closer, result string) {
	f.cfg.Node.ConnectsTotal.WithLabelValues(result).Inc()
	_ = c.Close()
}
