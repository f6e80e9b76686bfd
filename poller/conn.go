// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Conn is a connection on its way to a loop. Until [Conn.Detach] it is an
// ordinary blocking [net.Conn] for a handshake, used by one goroutine; after it
// the descriptor waits for [Loop.Open], and Close gives it up.
//
// With TLS, crypto/tls does the handshake over the Conn and stays on it when it
// becomes a stream: what lies under the [tls.Conn] changes, the tls.Conn does
// not, so that no byte it has read ahead is lost.
type Conn struct {
	net.Conn           // until Detach
	tls      *tls.Conn // nil for a plain connection
	fd       int       // after Detach
	stream   *tlsStream
}

// NewConn wraps an accepted TCP connection. With a config the result must do its
// TLS handshake, by [Conn.Handshake], before anything else.
func NewConn(nc net.Conn, config *tls.Config) *Conn {
	c := &Conn{Conn: nc, fd: -1}
	if config != nil {
		c.tls = tls.Server(c, config)
	}
	return c
}

// Handshake does the TLS handshake within the connection's deadline; on a plain
// connection it does nothing.
func (c *Conn) Handshake() error {
	if c.tls == nil {
		return nil
	}
	return c.tls.Handshake()
}

// App returns the connection that carries the application's bytes: the TLS one
// where there is TLS.
func (c *Conn) App() net.Conn {
	if c.tls == nil {
		return c.Conn
	}
	return c.tls
}

// Detach takes the descriptor out of the Go runtime's poller. The socket keeps
// one descriptor: a duplicate, the original being closed. (net.TCPConn's File
// would leave two, and set the socket blocking.)
func (c *Conn) Detach() error {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("poller: a %T has no descriptor", c.Conn)
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
	err = c.Conn.Close()
	c.Conn = nil
	return err
}

// Close gives up a connection that no loop has taken.
func (c *Conn) Close() error {
	if c.fd >= 0 {
		return unix.Close(c.fd)
	}
	return c.Conn.Close()
}

// Read is the handshake's, and once a loop has the connection the tls.Conn's.
func (c *Conn) Read(b []byte) (int, error) {
	if c.stream != nil {
		return c.stream.readCipher(b)
	}
	return c.Conn.Read(b)
}

// Write is the handshake's, and once a loop has the connection the tls.Conn's.
func (c *Conn) Write(b []byte) (int, error) {
	if c.stream != nil {
		return c.stream.writeCipher(b)
	}
	return c.Conn.Write(b)
}

// SetDeadline is the handshake's. On a loop nothing waits, and crypto/tls, which
// sets a deadline around its closing alert, is not to be told.
func (c *Conn) SetDeadline(t time.Time) error {
	if c.fd >= 0 {
		return nil
	}
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline is the handshake's, as [Conn.SetDeadline].
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.fd >= 0 {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline is the handshake's, as [Conn.SetDeadline].
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.fd >= 0 {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}
