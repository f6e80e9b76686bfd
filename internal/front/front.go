// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/http1"
	"github.com/gatecast/gatecast/internal/netaddr"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"

	"github.com/google/uuid"
)

// Config says how a front works. Fields without a default must be set.
type Config struct {
	TLS *poller.TLS // nil: plaintext
	// Verify returns the grant of a token, or an error that matches auth.ErrRefused
	// or auth.ErrUnreachable.
	Verify func(token string) (*auth.Grant, error)
	// CachedGrant returns the grant of a token that can be told without asking anybody,
	// else nil. It may be nil: requests for the platform then say nothing of their
	// gateways.
	CachedGrant func(token string) *auth.Grant
	// VerifyCertificate is asked about a verified client certificate, where there is
	// no token. It may be nil when TLS asks for none.
	VerifyCertificate func(*x509.Certificate) (*auth.Grant, bool)
	// CatchUp returns when gateways that another node has registered are known here, or an
	// error that matches [auth.ErrNotSynced]; nil: no other node registers any.
	CatchUp func() error
	Limiter *auth.IPLimiter
	Limits  Limits
	// AllowFrom is where gateways may connect from; empty: from anywhere.
	AllowFrom []netip.Prefix
	// AllowedOrigins are the web origins whose pages may connect, as browsers write
	// them; empty: none.
	AllowedOrigins []string
	Proxies        Proxies
	Register       func(*shard.Registration)
	// Resume says how a gateway goes on from the position it names.
	Resume func(ctx context.Context, since string, latest bool) *shard.Resume
	// Barrier says where a gateway's events begin; nil: there are no barriers.
	Barrier   func(*auth.Gateway) shard.Barrier
	WebSocket *shard.WebSocket
	// Compression accepts permessage-deflate from those who offer it.
	Compression bool
	// Platform answers what gateways ask for besides the connection; nil: nobody does.
	Platform http.Handler
	// Available reports whether events can be delivered at all.
	Available func() bool
	Node      *metrics.Node
	Logger    *slog.Logger
}

const (
	// requestTimeout bounds everything up to the upgrade.
	requestTimeout = 10 * time.Second
	// resumeTimeout bounds how long it takes to find out whether a position is
	// one to go on from. The ack is due a second after the upgrade.
	resumeTimeout = 500 * time.Millisecond
	// maxHandshakes is how many connections may be on their way at once. Each
	// costs a goroutine and some tens of kilobytes.
	maxHandshakes = 512
)

// A Front accepts gateways. Its methods may be called by any goroutine.
type Front struct {
	cfg      Config
	http     *httpSide
	live     atomic.Int64  // connections that have a place
	draining atomic.Bool   // upgrades are refused; set with mu held
	closing  atomic.Bool   // the listeners are closed; set with mu held
	slots    chan struct{} // one token a handshake under way
	buffers  sync.Pool     // *[]byte of http1.MaxHead
	closed   func()        // gives a place back that no limit but the total counts

	handling sync.WaitGroup // of connections accepted, until they are handed on
	entered  sync.WaitGroup // of upgrades being decided, none of which begins while draining

	mu        sync.Mutex
	listeners []net.Listener
	underWay  map[*passage]struct{} // accepted, and not handed on yet
}

// New returns a front that accepts nothing yet.
func New(cfg Config) *Front {
	if cfg.Barrier == nil {
		cfg.Barrier = func(*auth.Gateway) shard.Barrier { return shard.Barrier{} }
	}
	f := &Front{cfg: cfg, slots: make(chan struct{}, maxHandshakes), underWay: make(map[*passage]struct{})}
	f.buffers.New = func() any { b := make([]byte, http1.MaxHead); return &b }
	f.closed = func() { f.live.Add(-1) }
	f.http = newHTTPSide(f)
	return f
}

// Serve accepts connections of ln until Drain closes it; then it returns nil.
func (f *Front) Serve(ln net.Listener) error {
	if !f.adopt(ln) {
		return ln.Close()
	}
	defer f.handling.Done()
	for {
		f.takeSlot() // before accepting, so that a full house leaves callers in the kernel's queue
		nc, err := ln.Accept()
		if err != nil {
			<-f.slots
			if f.closing.Load() {
				return nil
			}
			return err
		}
		p := f.begin(nc)
		f.handling.Go(func() {
			defer f.finish(p)
			defer f.contain(p)
			f.handle(p)
		})
	}
}

// adopt takes a listener, unless the front is draining. It counts the caller
// among those that Drain waits for.
func (f *Front) adopt(ln net.Listener) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing.Load() {
		return false
	}
	f.listeners = append(f.listeners, ln)
	f.handling.Add(1)
	return true
}

// Live returns how many connections have a place.
func (f *Front) Live() int { return int(f.live.Load()) }

// enter counts an upgrade among those that StopUpgrades waits for, and reports
// whether it comes before it. Who enters calls entered.Done.
func (f *Front) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.draining.Load() {
		return false
	}
	f.entered.Add(1)
	return true
}

// StopUpgrades refuses upgrades from now on, while everything else is served as
// before, one request to a connection. When it returns, nothing more will be
// registered. That takes as long as tokens take to be verified.
func (f *Front) StopUpgrades() {
	f.mu.Lock()
	f.draining.Store(true)
	f.mu.Unlock()
	f.http.server.SetKeepAlivesEnabled(false)
	f.entered.Wait()
}

// drainGrace is what handshakes under way are given when the front drains.
const drainGrace = time.Second

// Drain stops accepting and refuses the upgrades on their way. When it returns,
// no handshake is under way and nothing more will be registered. Requests of
// ordinary HTTP may take until ctx ends.
func (f *Front) Drain(ctx context.Context) error {
	f.mu.Lock()
	f.draining.Store(true)
	f.closing.Store(true)
	for _, ln := range f.listeners {
		_ = ln.Close()
	}
	f.listeners = nil
	f.mu.Unlock()

	grace, cancel := context.WithTimeout(ctx, drainGrace)
	defer cancel()
	stop := context.AfterFunc(grace, f.abort)
	f.handling.Wait()
	err := f.http.shutdown(ctx)
	f.entered.Wait()
	stop()
	return err
}

// abort ends what is under way.
func (f *Front) abort() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.underWay {
		_ = p.conn.Close()
	}
}

// handle takes one connection through to whoever serves it.
func (f *Front) handle(p *passage) {
	nc := p.conn
	_ = nc.SetDeadline(p.accepted.Add(requestTimeout)) // fails only on a closed connection, as the next call does
	client, ahead, err := f.cfg.Proxies.proxied(nc)
	if err != nil {
		f.cfg.Logger.Warn("PROXY protocol header refused", "remote", nc.RemoteAddr(), "error", err)
		f.end(nc, p.result("bad_proxy_header"))
		return
	}
	if f.cfg.TLS != nil {
		var plain bool
		if ahead, plain = awaitTLS(nc, ahead, p.accepted.Add(requestTimeout)); plain {
			f.refuse(nc, refusalOf(http1.ErrPlain))
			return
		}
	}
	c := poller.NewConn(nc, f.cfg.TLS)
	c.Unread(ahead)
	if err := c.Handshake(); err != nil {
		f.cfg.Logger.Debug("TLS handshake failed", "remote", nc.RemoteAddr(), "error", err)
		f.end(c, p.result("tls_failed"))
		return
	}
	f.request(p, c, client)
}

// request reads the first request of a connection, and hands the connection on.
func (f *Front) request(p *passage, c *poller.Conn, client netip.AddrPort) {
	buf := f.buffers.Get().(*[]byte)
	defer f.buffers.Put(buf)
	head, after, err := readHead(c, *buf)
	bad, malformed := errors.AsType[*http1.Error](err)
	switch {
	case !p.heard():
		f.end(c, resultOvertaken)
	case malformed:
		f.refuse(c, refusalOf(bad))
	case err != nil:
		f.end(c, "incomplete")
	case !isConnect(head):
		f.http.take(c, (*buf)[:len(head.Text())+len(after)], client)
	default:
		f.connect(c, client, head, after, p.accepted)
	}
}

// again takes a connection whose next request is for the connect route, after
// others that net/http has answered. The caller waits.
func (f *Front) again(c *poller.Conn, client netip.AddrPort, head *http1.Head, after []byte) {
	accepted := time.Now()
	f.takeSlot()
	p := f.begin(c.NetConn())
	p.heard()
	defer f.finish(p)
	defer f.contain(p)
	_ = p.conn.SetDeadline(accepted.Add(requestTimeout)) // as above
	f.connect(c, client, head, after, accepted)
}

// connect upgrades a connection and hands it to its shard, or refuses it. client is
// who has made the connection.
func (f *Front) connect(c *poller.Conn, client netip.AddrPort, head *http1.Head, after []byte, accepted time.Time) {
	if !f.enter() {
		f.refuse(c, draining())
		return
	}
	defer f.entered.Done()
	remote := f.cfg.Proxies.forwarded(client, head)
	up, grant, release, no := f.decide(head, remote, c.PeerCertificate(), accepted)
	if no != nil {
		if no.status == http.StatusUnauthorized {
			f.cfg.Logger.Warn("credentials refused", "remote", remote)
		} else {
			f.cfg.Logger.Info("connection refused", "remote", remote, "error", no.code)
		}
		f.refuse(c, no)
		return
	}
	handedOver := false
	defer func() {
		if !handedOver { // also when something panics: the keys are wiped
			_ = c.Close()
			release()
		}
	}()
	resume := f.resume(up)
	if err := c.Detach(); err != nil {
		f.cfg.Logger.Error("connection cannot be handed over", "remote", remote, "error", err)
		f.end(c, "internal_error")
		return
	}
	handedOver = true
	f.cfg.Node.ConnectsTotal.WithLabelValues("accepted").Inc()
	f.cfg.Node.HandshakeSeconds.Observe(time.Since(accepted).Seconds())
	f.cfg.Register(&shard.Registration{
		Peer: shard.Peer{
			GatewayID: grant.Gateway.ID, TokenID: grant.TokenID, Groups: grant.Gateway.Groups, Barrier: f.cfg.Barrier(grant.Gateway),
			Live: grant.Live, Requests: grant.Requests, Revoked: grant.Revoked,
		},
		ID:              uuid.New(),
		Remote:          remote,
		UpgradeResponse: up.response,
		Resume:          resume,
		Open:            f.cfg.WebSocket.Opener(c, slices.Concat(after, c.Buffered()), up.deflate),
		Abandon:         func() { _ = c.Close() },
		Closed:          release,
	})
}

// resume returns where the gateway was, nil for one that begins anew.
func (f *Front) resume(up *upgrade) *shard.Resume {
	if up.since == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), resumeTimeout)
	defer cancel()
	return f.cfg.Resume(ctx, up.since, up.latest)
}

// decide says whether a request is upgraded. When it is, a place is taken for
// the connection, that release gives back.
func (f *Front) decide(head *http1.Head, remote netip.AddrPort, cert *x509.Certificate, now time.Time) (up *upgrade, grant *auth.Grant, release func(), no *refusal) {
	if !f.allowed(remote.Addr()) {
		return nil, nil, nil, forbidden()
	}
	if retryAfter, ok := f.cfg.Limiter.Allow(remote.Addr(), now); !ok {
		return nil, nil, nil, rateLimited(retryAfter)
	}
	if up, no = parseUpgrade(head, f.cfg.Compression); no != nil {
		return nil, nil, nil, no
	}
	switch {
	case !f.originAllowed(head):
		return nil, nil, nil, foreignOrigin()
	case !f.cfg.Available():
		return nil, nil, nil, unavailable("the event log is out of reach")
	}
	grant, err := f.identify(up.token, cert)
	switch {
	case errors.Is(err, auth.ErrUnreachable):
		return nil, nil, nil, unavailable("tokens cannot be verified now: the platform is out of reach")
	case errors.Is(err, auth.ErrNotSynced):
		return nil, nil, nil, unavailable("what other nodes have registered cannot be known now")
	case err != nil && !f.cfg.Available(): // it became so meanwhile; the token may be a newcomer's
		return nil, nil, nil, unavailable("the event log is out of reach")
	case err != nil:
		return nil, nil, nil, unauthorized()
	}
	release, no = f.takePlace(grant)
	return up, grant, release, no
}

// identify returns the grant of a token, or of a certificate where there is none.
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

// allowed reports whether gateways may connect from an address.
func (f *Front) allowed(a netip.Addr) bool {
	return len(f.cfg.AllowFrom) == 0 || netaddr.Contains(f.cfg.AllowFrom, a)
}

// originAllowed reports whether a request is of a program that is no web page, or
// of one that may connect.
func (f *Front) originAllowed(head *http1.Head) bool {
	origins := head.Values("origin")
	return len(origins) == 0 || len(origins) == 1 && slices.Contains(f.cfg.AllowedOrigins, origins[0])
}

// A lingerer is a connection that a refusal can be written to.
type lingerer interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// refuse answers and hangs up.
func (f *Front) refuse(c lingerer, no *refusal) {
	f.cfg.Node.ConnectsTotal.WithLabelValues(no.code).Inc()
	if _, err := c.Write(no.response()); err == nil {
		http1.Linger(c)
	}
	_ = c.Close()
}

// end hangs up without an answer.
func (f *Front) end(c io.Closer, result string) {
	f.cfg.Node.ConnectsTotal.WithLabelValues(result).Inc()
	_ = c.Close()
}
