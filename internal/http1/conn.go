// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Rules say what becomes of the requests of a connection. They are not changed
// once in use.
type Rules struct {
	// HeadTimeout is how long a head may take from its first byte on.
	HeadTimeout time.Duration
	// Refuse returns the response to a request that is refused; nil hangs up without
	// one.
	Refuse func(*Error) []byte
	// Check returns the response to a request that the server need not see, nil for
	// the others. The connection ends with it. A nil Check passes all.
	Check func(*Head) []byte
	// Takes reports whether a request takes the connection away from the server; its
	// connection's [Conn.Take] is called then. A nil Takes takes none.
	Takes func(*Head) bool
}

// A Conn is a connection as an HTTP/1 server sees it: vetted requests, one at a
// time. One goroutine at a time reads; the other methods may be called by any.
//
// A server that reads ahead while it serves a request, as net/http does to notice
// that the client is gone, must say with [Conn.Idle] that it does no longer, and
// have Ahead set. One that speaks another protocol from a request on must say so
// with [Conn.Raw].
type Conn struct {
	net.Conn

	// Constant once reading begins.
	rules *Rules
	Ahead bool // the server reads ahead
	// Take is called with a request that takes the connection, and what has arrived
	// after it. The server sees the end of the connection, and closes it to no
	// effect: the connection is the callee's.
	Take func(h *Head, after []byte)

	// Of the goroutine that reads.
	buf     []byte  // arrived, and not given to the server
	empty   int     // bytes of empty lines since the last request
	given   int     // bytes that were given of a head that was not vetted yet: 0 or 1
	pass    int     // bytes of a vetted head still to be given
	scanner Scanner // of the head that buf begins with
	body    body
	exact   bool  // the request may change the protocol: what follows it is no empty line
	err     error // what Read returns from now on

	serving atomic.Bool // a request was given and Idle not called since; only with Ahead
	raw     atomic.Bool // bytes are given as they are

	mu      sync.Mutex
	wanted  time.Time // the server's deadline for reads
	headDue time.Time // ours, while a head arrives
	taken   bool
	closed  bool
}

// NewConn returns a connection whose requests are vetted. arrived is what was read
// of it.
func NewConn(c net.Conn, rules *Rules, arrived []byte) *Conn {
	return &Conn{Conn: c, rules: rules, buf: arrived}
}

// Read implements [net.Conn] for the server.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		switch {
		case c.raw.Load():
			return c.readRaw(p)
		case c.err != nil:
			return 0, c.err
		case len(p) == 0:
			return 0, nil
		case c.pass > 0:
			n := copy(p, c.buf[:c.pass])
			c.drop(n)
			c.pass -= n
			return n, nil
		case c.body.state != ended:
			return c.readBody(p)
		case c.serving.Load() && c.given == 0:
			return c.readAhead(p)
		}
		if err := c.readHead(p); err != nil {
			return 0, err
		}
	}
}

// Idle is called by a server that reads ahead when it has answered a request.
func (c *Conn) Idle() { c.serving.Store(false) }

// Raw is called by a server whose protocol on the connection is another one from now
// on. Nobody reads at that moment. A byte that was read ahead is read once more: who
// takes the connection over, as httputil.ReverseProxy does, is not to look for it in
// the server's buffer.
func (c *Conn) Raw() { c.raw.Store(true) }

func (c *Conn) readRaw(p []byte) (int, error) {
	if len(c.buf) > 0 {
		n := copy(p, c.buf)
		c.drop(n)
		return n, nil
	}
	return c.Conn.Read(p)
}

// drop removes n bytes from what has arrived.
func (c *Conn) drop(n int) {
	if c.buf = c.buf[n:]; len(c.buf) == 0 {
		c.buf = nil // an idle connection holds no buffer
	}
}

func (c *Conn) readBody(p []byte) (n int, err error) {
	buffered := len(c.buf) > 0
	if buffered {
		n = copy(p, c.buf)
	} else {
		if c.body.state == sized {
			p = p[:min(int64(len(p)), c.body.left)]
		}
		n, err = c.Conn.Read(p)
	}
	m, bad := c.body.take(p[:n])
	if bad != nil {
		c.err = bad
		if m == 0 {
			return 0, bad
		}
		return m, nil
	}
	if buffered {
		c.drop(m)
	} else {
		c.buf = append(c.buf, p[m:n]...)
	}
	return m, err
}

// readAhead reads one byte of the next request, which may wait for long. It is
// given to the server unvetted: the server does not look at it before it is idle.
func (c *Conn) readAhead(p []byte) (int, error) {
	for {
		if !c.skipEmptyLines() {
			c.err = io.EOF
			return 0, io.EOF
		}
		if len(c.buf) > 0 && (c.exact || c.buf[0] != '\r' || len(c.buf) > 1) {
			p[0], c.given = c.buf[0], 1
			return 1, nil
		}
		if n, err := c.Conn.Read(p[:1]); n == 0 {
			return 0, err
		}
		c.buf = append(c.buf, p[0])
	}
}

// maxEmpty bounds the empty lines ahead of a request, in bytes.
const maxEmpty = 1 << 10

// skipEmptyLines skips what empty lines have arrived, and reports whether there are
// not too many.
func (c *Conn) skipEmptyLines() bool {
	if c.given == 0 && (!c.exact || !c.serving.Load()) {
		if n := EmptyLines(c.buf); n > 0 {
			c.drop(n)
			c.empty += n
			c.scanner = Scanner{}
		}
	}
	return c.empty <= maxEmpty
}

// readHead reads and vets the next head, with p for scratch. An error ends the
// connection for the server.
func (c *Conn) readHead(p []byte) error {
	var end int
	for {
		if !c.skipEmptyLines() {
			return c.refuse(ErrNotHTTP)
		}
		if len(c.buf) > 0 && (c.buf[0] != '\r' || len(c.buf) > 1) {
			var bad *Error
			if end, bad = c.scanner.End(c.buf); bad != nil {
				return c.refuse(bad)
			}
			if end > 0 {
				break
			}
			c.startHead()
		}
		n, err := c.Conn.Read(p)
		c.buf = append(c.buf, p[:n]...)
		if n == 0 {
			return c.notRead(err)
		}
	}
	c.endHead()
	head, bad := Parse(c.buf[:end])
	if bad != nil {
		return c.refuse(bad)
	}
	return c.vetted(head, end)
}

// vetted decides on the request that c.buf begins with.
func (c *Conn) vetted(head *Head, end int) error {
	if c.rules.Takes != nil && c.rules.Takes(head) {
		return c.take(head, end)
	}
	if c.rules.Check != nil {
		if response := c.rules.Check(head); response != nil {
			return c.answer(c.Conn, response)
		}
	}
	c.scanner, c.empty = Scanner{}, 0
	c.body.begin(head.Length)
	c.exact = len(head.Values("upgrade")) > 0
	c.serving.Store(c.Ahead)
	c.drop(c.given)
	c.pass, c.given = end-c.given, 0
	return nil
}

// take hands the connection over to whoever takes it.
func (c *Conn) take(head *Head, end int) error {
	c.err = io.EOF
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return io.EOF
	}
	c.taken = true
	c.mu.Unlock()
	after := c.buf[end:]
	c.buf = nil
	c.Take(head, after)
	return io.EOF
}

// notRead ends the connection after a read that brought nothing.
func (c *Conn) notRead(err error) error {
	if re, ok := errors.AsType[tls.RecordHeaderError](err); ok && re.Conn != nil && looksLikeHTTP(re.RecordHeader[:]) {
		return c.answer(re.Conn, c.rules.Refuse(ErrPlain))
	}
	c.mu.Lock()
	late := !c.headDue.IsZero() && !time.Now().Before(c.headDue)
	c.mu.Unlock()
	if late && errors.Is(err, os.ErrDeadlineExceeded) {
		return c.refuse(ErrTimeout)
	}
	return err
}

// looksLikeHTTP reports whether a request may begin with b: a method, and perhaps
// more.
func looksLikeHTTP(b []byte) bool {
	for i, c := range b {
		if c == ' ' {
			return i > 0
		}
		if !httpguts.IsTokenRune(rune(c)) {
			return false
		}
	}
	return true
}

func (c *Conn) refuse(bad *Error) error { return c.answer(c.Conn, c.rules.Refuse(bad)) }

// answerTimeout is how long a peer has to take an answer that ends its connection.
const answerTimeout = time.Second

// answer writes a response that is not the server's, and ends the connection. The
// server is idle: it has nothing to write.
func (c *Conn) answer(conn net.Conn, response []byte) error {
	c.err, c.buf = io.EOF, nil
	if response != nil {
		_ = conn.SetWriteDeadline(time.Now().Add(answerTimeout))
		if _, err := conn.Write(response); err == nil {
			Linger(conn)
		}
	}
	return io.EOF
}

// startHead starts the time that a head may take; endHead ends it.
func (c *Conn) startHead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.headDue.IsZero() && c.rules.HeadTimeout > 0 {
		c.headDue = time.Now().Add(c.rules.HeadTimeout)
		c.setReadDeadline()
	}
}

func (c *Conn) endHead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.headDue.IsZero() {
		c.headDue = time.Time{}
		c.setReadDeadline()
	}
}

// setReadDeadline sets the earlier of the two deadlines. It is called with mu held;
// it fails only on a closed connection, as the next read does.
func (c *Conn) setReadDeadline() {
	due := c.wanted
	if !c.headDue.IsZero() && (due.IsZero() || c.headDue.Before(due)) {
		due = c.headDue
	}
	if !c.taken {
		_ = c.Conn.SetReadDeadline(due)
	}
}

// SetReadDeadline implements [net.Conn] for the server.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken {
		return net.ErrClosed
	}
	c.wanted = t
	c.setReadDeadline()
	return nil
}

// SetWriteDeadline implements [net.Conn] for the server.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken {
		return net.ErrClosed
	}
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements [net.Conn] for the server.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite ends the sending side, where the connection below can.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	taken := c.taken
	c.mu.Unlock()
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok && !taken {
		return cw.CloseWrite()
	}
	return net.ErrClosed
}

// Close implements [net.Conn] for the server. It does nothing to a connection that
// was taken.
func (c *Conn) Close() error {
	c.mu.Lock()
	taken := c.taken
	c.closed = true
	c.mu.Unlock()
	if taken {
		return nil
	}
	return c.Conn.Close()
}

// lingerTimeout is how long a peer that was refused has to read why.
const lingerTimeout = 500 * time.Millisecond

// Linger reads on for a moment after the last write: closing a socket with unread
// bytes resets the connection, and the answer would be lost.
func Linger(c interface {
	io.Reader
	SetReadDeadline(time.Time) error
}) {
	cw, ok := c.(interface{ CloseWrite() error })
	if ok && cw.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(lingerTimeout))
		_, _ = io.CopyN(io.Discard, c, 64<<10)
	}
}
