// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/gatecast/gatecast/internal/tlsrecord"
)

// A Conn is a connection before it has a loop. Until [Conn.Detach] it is an ordinary
// blocking connection whose Read and Write are of the application's bytes; one
// goroutine uses it. After Detach its descriptor waits for [Loop.Open].
type Conn struct {
	wire    *wire
	tls     *tls.Conn         // nil for a plain connection
	keys    *tlsrecord.KeyLog // until Handshake ends; nil where crypto/tls keeps the records
	records *recordConn       // after Handshake, where package tlsrecord has the records
	fd      int               // after Detach; -1 before, and after Close
}

// NewConn wraps an accepted TCP connection, which now belongs to the Conn. With a
// config, [Conn.Handshake] must be called before anything else.
func NewConn(nc net.Conn, config *TLS) *Conn {
	c := &Conn{wire: &wire{Conn: nc}, fd: -1}
	if config != nil {
		c.wire.handshakes = config.handshakes
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
		c.wire.records = new(recordReader)
		c.tls = tls.Server(c.wire, own)
	}
	return c
}

// Unread gives back what was read of the connection before NewConn. It is called
// before Handshake and the first Read.
func (c *Conn) Unread(b []byte) {
	if c.wire.records != nil {
		c.wire.records.arrived = b
		return
	}
	c.wire.unread = b
}

// Handshake does the TLS handshake within the connection's read deadline. On a plain
// connection it does nothing.
func (c *Conn) Handshake() error {
	if c.tls == nil {
		return nil
	}
	c.wire.acquireSlot()
	defer c.wire.endHandshake()
	err := c.tls.Handshake()
	if c.keys == nil {
		return err
	}
	ahead, whole := c.wire.stopRecordReader()
	session, unsupported := c.keys.Session(c.tls.ConnectionState())
	c.keys = nil
	if err == nil && unsupported == nil && whole {
		c.records = newRecordConn(c.wire.Conn, session, ahead)
		return nil
	}
	if session != nil {
		session.Wipe()
	}
	c.wire.unread = ahead
	return err
}

// PeerCertificate returns the verified certificate of the client, or nil if it has
// sent none. It can be called after Handshake.
func (c *Conn) PeerCertificate() *x509.Certificate {
	if c.tls == nil {
		return nil
	}
	if chains := c.tls.ConnectionState().VerifiedChains; len(chains) > 0 {
		return chains[0][0]
	}
	return nil
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

// Buffered returns the application's bytes that were read ahead of the next Read, as
// far as they are known here. Read does not return them again.
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

// CloseWrite closes the sending side. With TLS it sends close_notify first.
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

// Rewind returns the connection as it was before the first Read, as an ordinary
// [net.Conn]. With TLS that is crypto/tls's, which reads everything again, unless
// more has arrived than is kept. read is what Read returned so far; unread is the
// part of it that the net.Conn does not return again. Nothing may have been written.
//
// The Conn is not used while the net.Conn is in use. It can be used again when nobody
// uses the net.Conn and the caller has everything that the net.Conn has read.
func (c *Conn) Rewind(read []byte) (conn net.Conn, unread []byte) {
	switch {
	case c.records != nil:
		kept, ok := c.records.rewind()
		if !ok {
			return c.records, append([]byte(nil), read...)
		}
		c.wire.unread, c.records = kept, nil
		return c.tls, nil
	case c.tls != nil:
		return c.tls, append([]byte(nil), read...)
	}
	return c.wire, append([]byte(nil), read...)
}

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.wire.RemoteAddr() }

// NetConn returns the TCP connection, for a caller that must interrupt it. It is nil
// after Detach.
func (c *Conn) NetConn() net.Conn { return c.wire.Conn }

// SetReadDeadline sets the deadline of Handshake and Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.wire.SetReadDeadline(t) }

// Detach takes the descriptor out of the Go runtime's poller. The socket keeps one
// descriptor: a duplicate, while the original is closed. (File of net.TCPConn would
// leave two, and make the socket blocking.) On systems other than Linux it returns an
// error that wraps [errors.ErrUnsupported].
func (c *Conn) Detach() error {
	sc, ok := c.wire.Conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("poller: a %T has no descriptor", c.wire.Conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("poller: %w", err)
	}
	if c.fd, err = dupDescriptor(raw); err != nil {
		return fmt.Errorf("poller: dup: %w", err)
	}
	err = c.wire.Conn.Close()
	c.wire.Conn = nil
	return err
}

// Close closes a connection that no loop has taken. It sends the close_notify alert if
// no alert was sent (RFC 8446 section 6.1), and wipes the keys. A second Close does
// nothing.
func (c *Conn) Close() error {
	if c.keys != nil { // the handshake did not end
		c.keys.Wipe()
	}
	switch {
	case c.fd >= 0:
		return c.closeDetached()
	case c.wire.Conn == nil: // closed after Detach
		return nil
	case c.records != nil:
		return c.records.Close()
	case c.tls != nil:
		return c.tls.Close() // sends close_notify too
	}
	return c.wire.Conn.Close()
}

// closeDetached is Close between Detach and Open.
func (c *Conn) closeDetached() error {
	fd := c.fd
	c.fd = -1
	if c.records != nil {
		writeDescriptor(fd, c.records.session.AppendAlert(nil, tlsrecord.CloseNotify))
		c.records.wipe()
	}
	return closeDescriptor(fd)
}
