// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gatecast/gatecast/internal/tlsrecord"

	"golang.org/x/sys/unix"
)

// TLS says how connections are secured.
type TLS struct {
	Config *tls.Config
	// Stdlib leaves the record layer to crypto/tls on every connection. If it is
	// false, crypto/tls does the handshake and package tlsrecord what follows,
	// where it can; session tickets are off then.
	Stdlib bool

	asking atomic.Pointer[tls.Config] // Config with client authorities; nil without any
	turns  turnstile
}

// SetClientCAs has clients asked for a certificate from now on, which they need not
// have, and verified by these authorities if they have one. Any goroutine may call
// it.
func (t *TLS) SetClientCAs(pool *x509.CertPool) {
	c := t.Config.Clone()
	c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, pool
	t.asking.Store(c)
}

// current returns the configuration of a new connection.
func (t *TLS) current() *tls.Config {
	if c := t.asking.Load(); c != nil {
		return c
	}
	return t.Config
}

// NewTLS returns a TLS whose handshakes leave one of Go's processors to the rest.
func NewTLS(config *tls.Config, stdlib bool) *TLS {
	return &TLS{Config: config, Stdlib: stdlib, turns: newTurnstile(max(1, runtime.GOMAXPROCS(0)-1))}
}

// A Conn is a connection on its way to a loop. Until [Conn.Detach] it is an
// ordinary blocking connection, used by one goroutine, whose Read and Write are
// of the application's bytes; after it the descriptor waits for [Loop.Open].
type Conn struct {
	wire    *wire
	tls     *tls.Conn         // nil for a plain connection
	keys    *tlsrecord.KeyLog // until Handshake ends; nil where crypto/tls keeps the records
	records *recordConn       // after Handshake, where it does not
	fd      int               // after Detach
}

// NewConn wraps an accepted TCP connection. With a config the result must do its
// TLS handshake, by [Conn.Handshake], before anything else.
func NewConn(nc net.Conn, config *TLS) *Conn {
	c := &Conn{wire: &wire{Conn: nc}, fd: -1}
	if config != nil {
		c.wire.turns = config.turns
	}
	switch {
	case config == nil:
	case config.Stdlib:
		c.tls = tls.Server(c.wire, config.current())
	default:
		c.keys = new(tlsrecord.KeyLog)
		own := config.current().Clone()
		own.KeyLogWriter = c.keys
		own.SessionTicketsDisabled = true // a ticket would be record 0
		c.wire.feeder = new(feeder)
		c.tls = tls.Server(c.wire, own)
	}
	return c
}

// Unread gives back what was read of the connection before NewConn.
func (c *Conn) Unread(b []byte) {
	if c.wire.feeder != nil {
		c.wire.feeder.arrived = b
		return
	}
	c.wire.again = b
}

// Handshake does the TLS handshake within the connection's deadline; on a plain
// connection it does nothing.
func (c *Conn) Handshake() error {
	if c.tls == nil {
		return nil
	}
	c.wire.enter()
	defer c.wire.leaveForGood() // what follows the handshake computes little
	err := c.tls.Handshake()
	if c.keys == nil {
		return err
	}
	ahead, whole := c.wire.stopFeeding()
	session, unsupported := c.keys.Session(c.tls.ConnectionState())
	c.keys = nil
	if err == nil && unsupported == nil && whole {
		c.records = newRecordConn(c.wire.Conn, session, ahead)
		return nil
	}
	if session != nil {
		session.Wipe()
	}
	c.wire.again = ahead
	return err
}

// Read reads the application's bytes.
func (c *Conn) Read(b []byte) (int, error) {
	switch {
	case c.records != nil:
		return c.records.Read(b)
	case c.tls != nil:
		return c.tls.Read(b)
	}
	return c.wire.Read(b)
}

// PeerCertificate returns the certificate that the client has shown, verified; nil
// for none. It may be called after Handshake.
func (c *Conn) PeerCertificate() *x509.Certificate {
	if c.tls == nil {
		return nil
	}
	if chains := c.tls.ConnectionState().VerifiedChains; len(chains) > 0 {
		return chains[0][0]
	}
	return nil
}

// Buffered returns the application's bytes that have arrived ahead of the next
// Read, as far as they are known. Read does not return them any more.
func (c *Conn) Buffered() []byte {
	if c.records == nil {
		return nil
	}
	return c.records.takePlain()
}

// Write writes the application's bytes.
func (c *Conn) Write(b []byte) (int, error) {
	switch {
	case c.records != nil:
		return c.records.Write(b)
	case c.tls != nil:
		return c.tls.Write(b)
	}
	return c.wire.Write(b)
}

// CloseWrite tells the peer that nothing more will come.
func (c *Conn) CloseWrite() error {
	switch {
	case c.records != nil:
		return c.records.CloseWrite()
	case c.tls != nil:
		return c.tls.CloseWrite()
	}
	if tc, ok := c.wire.Conn.(*net.TCPConn); ok {
		return tc.CloseWrite()
	}
	return nil
}

// Rewind returns the connection as it was before the first Read, for whoever
// wants an ordinary net.Conn: with TLS crypto/tls's, which reads everything
// itself from then on, unless that was too much to keep. read is what Read returned so far; again is what of it the
// net.Conn does not return once more. Nothing may have been written.
//
// The Conn is not used while the net.Conn is. When nobody uses the net.Conn any
// more, and everything it has read is accounted for, the Conn may be used again.
func (c *Conn) Rewind(read []byte) (conn net.Conn, again []byte) {
	switch {
	case c.records != nil:
		kept, ok := c.records.rewind()
		if !ok {
			return c.records, append([]byte(nil), read...)
		}
		c.wire.again, c.records = kept, nil
		return c.tls, nil
	case c.tls != nil:
		return c.tls, append([]byte(nil), read...)
	}
	return c.wire, append([]byte(nil), read...)
}

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.wire.RemoteAddr() }

// NetConn returns the TCP connection, for whoever wants to break it off. It is nil
// after Detach.
func (c *Conn) NetConn() net.Conn { return c.wire.Conn }

// SetReadDeadline bounds Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.wire.SetReadDeadline(t) }

// Detach takes the descriptor out of the Go runtime's poller. The socket keeps
// one descriptor: a duplicate, the original being closed. (net.TCPConn's File
// would leave two, and set the socket blocking.)
func (c *Conn) Detach() error {
	sc, ok := c.wire.Conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("poller: a %T has no descriptor", c.wire.Conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("poller: %w", err)
	}
	var dupErr error
	err = raw.Control(func(fd uintptr) {
		c.fd, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err := errors.Join(err, dupErr); err != nil {
		c.fd = -1
		return fmt.Errorf("poller: dup: %w", err)
	}
	err = c.wire.Conn.Close()
	c.wire.Conn = nil
	return err
}

// Close gives up a connection that no loop has taken: it sends the close_notify alert,
// if no alert was sent (RFC 8446 section 6.1), and wipes the keys. Closing twice is
// harmless.
func (c *Conn) Close() error {
	if c.keys != nil { // the handshake did not end
		c.keys.Wipe()
	}
	switch {
	case c.fd >= 0:
		fd := c.fd
		c.fd = -1
		if c.records != nil {
			_, _ = unix.Write(fd, c.records.session.AppendAlert(nil, tlsrecord.CloseNotify))
			c.records.wipe()
		}
		return unix.Close(fd)
	case c.wire.Conn == nil: // it was closed after Detach
		return nil
	case c.records != nil:
		return c.records.Close()
	case c.tls != nil:
		return c.tls.Close() // which does the same
	}
	return c.wire.Conn.Close()
}
