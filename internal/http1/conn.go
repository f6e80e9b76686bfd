// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
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

// Rules say how a [Conn] treats requests. They are constant while a Conn uses them.
type Rules struct {
	// HeadTimeout limits the time from the first byte of a head to its last. 0: no
	// limit of its own.
	HeadTimeout time.Duration
	// Refuse returns the response to a refused request. Nil closes the connection
	// without a response.
	Refuse func(*Error) []byte
	// Check returns a response to a request that the server does not need to see, and
	// nil for all others. The response ends the connection. A nil Check accepts all.
	Check func(*Head) []byte
	// Hijacks reports whether a request takes the connection away from the server.
	// [Conn.OnHijack] is called then. A nil Hijacks takes none.
	Hijacks func(*Head) bool
}

// A Conn is a connection as an HTTP/1 server sees it: checked requests, one at a
// time. One goroutine at a time calls Read. Any goroutine can call the other methods.
//
// A server that reads ahead while it serves a request, as net/http does to notice
// that the client has gone, must set ReadsAhead and call [Conn.Idle] after each
// response. It must not change the protocol of the connection.
type Conn struct {
	net.Conn

	// Constant after the first Read.
	rules      *Rules
	ReadsAhead bool // the server reads ahead
	// OnHijack is called with a request for which Rules.Hijacks is true, and with the
	// bytes that arrived after it. From then on the connection is the callee's: the
	// server reads the end of the connection, and its Close has no effect.
	OnHijack func(h *Head, after []byte)

	// Owned by the goroutine in Read.
	buf       []byte  // arrived, and not given to the server
	borrowed  bool    // buf lies in the slice that Read was called with
	empty     int     // bytes of empty lines since the last request
	readAhead int     // bytes of an unchecked head that the server has: 0 or 1
	pass      int     // bytes of a checked head still to give
	scanner   Scanner // of the head that buf starts with
	body      body    // of the request that the server reads
	err       error   // what Read returns from now on

	// Written and read by any goroutine.
	serving atomic.Bool // a request was given, and Idle not called since; needs ReadsAhead

	mu             sync.Mutex
	serverDeadline time.Time // for reads, set by the server
	headDeadline   time.Time // ours, while a head arrives
	hijacked       bool
	closed         bool
}

// NewConn returns a connection whose requests are checked. arrived is what was
// already read from c; the Conn owns it.
func NewConn(c net.Conn, rules *Rules, arrived []byte) *Conn {
	return &Conn{Conn: c, rules: rules, buf: arrived}
}

// Read implements [net.Conn] for the server.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		switch {
		case c.err != nil:
			return 0, c.err
		case len(p) == 0:
			return 0, nil
		case c.pass > 0:
			return c.giveHead(p), nil
		case c.body.state != ended:
			return c.readBody(p)
		case c.serving.Load() && c.readAhead == 0:
			return c.readOne(p)
		}
		n, err := c.readHead(p)
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Idle is called by a server that reads ahead, after each response.
func (c *Conn) Idle() { c.serving.Store(false) }

// drop removes n bytes from the start of buf.
func (c *Conn) drop(n int) {
	if c.buf = c.buf[n:]; len(c.buf) == 0 {
		c.buf, c.borrowed = nil, false // an idle connection holds no buffer
	}
}

// own copies buf out of the slice that Read was called with.
func (c *Conn) own() {
	if c.borrowed {
		c.buf, c.borrowed = bytes.Clone(c.buf), false
	}
}

// giveHead gives a part of a checked head. In the common case buf lies in p, and the copy
// moves nothing.
func (c *Conn) giveHead(p []byte) int {
	n := copy(p, c.buf[:c.pass])
	c.drop(n)
	c.pass -= n
	return n
}

// readBody reads a part of a body, and what arrives after it.
func (c *Conn) readBody(p []byte) (int, error) {
	if len(c.buf) > 0 {
		return c.giveBody(p)
	}
	if c.body.state == sized {
		p = p[:min(int64(len(p)), c.body.left)]
	}
	n, err := c.Conn.Read(p)
	m, bad := c.body.take(p[:n])
	if bad != nil {
		return c.breakBody(m)
	}
	c.buf = append(c.buf, p[m:n]...)
	return m, err
}

// giveBody gives what buf has of a body.
func (c *Conn) giveBody(p []byte) (int, error) {
	n, bad := c.body.take(c.buf[:min(len(c.buf), len(p))])
	copy(p, c.buf[:n])
	if bad != nil {
		return c.breakBody(n)
	}
	c.drop(n)
	return n, nil
}

// breakBody ends the connection after the last valid n bytes of a malformed body.
func (c *Conn) breakBody(n int) (int, error) {
	c.err, c.buf, c.borrowed = ErrBody, nil, false
	if n == 0 {
		return 0, ErrBody
	}
	return n, nil
}

// readOne reads one byte of the next request, which can take long. The server gets
// it unchecked, but does not look at it before it is idle.
func (c *Conn) readOne(p []byte) (int, error) {
	for {
		if !c.skipEmptyLines() {
			c.err = io.EOF
			return 0, io.EOF
		}
		if len(c.buf) > 0 && (c.buf[0] != '\r' || len(c.buf) > 1) {
			p[0], c.readAhead = c.buf[0], 1
			return 1, nil
		}
		if n, err := c.Conn.Read(p[:1]); n == 0 {
			return 0, err
		}
		c.buf = append(c.buf, p[0])
	}
}

// maxEmpty limits the empty lines before a request, in bytes.
const maxEmpty = 1 << 10

// skipEmptyLines removes empty lines from the start of buf. It reports false after
// too many.
func (c *Conn) skipEmptyLines() bool {
	if c.readAhead == 0 {
		if n := EmptyLines(c.buf); n > 0 {
			c.drop(n)
			c.empty += n
			c.scanner = Scanner{}
		}
	}
	return c.empty <= maxEmpty
}

// readHead reads and checks the next head, and gives it with what has arrived of its
// body. It reads into p: a request that arrives in one piece is checked there and
// copied nowhere. An error ends the connection for the server.
func (c *Conn) readHead(p []byte) (int, error) {
	for {
		if !c.skipEmptyLines() {
			return 0, c.refuse(ErrNotHTTP)
		}
		if len(c.buf) > 0 && (c.buf[0] != '\r' || len(c.buf) > 1) {
			head, bad := c.scanner.Next(c.buf)
			if bad != nil {
				return 0, c.refuse(bad)
			}
			if head != nil {
				c.endHead()
				return c.accept(head, p)
			}
			c.startHead()
		}
		c.own() // before the next Read overwrites p
		n, err := c.Conn.Read(p)
		if n == 0 {
			return 0, c.endOfInput(err)
		}
		if len(c.buf) == 0 {
			c.buf, c.borrowed = p[:n], true
		} else {
			c.buf = append(c.buf, p[:n]...)
		}
	}
}

// accept decides on the request that buf starts with, and gives it.
func (c *Conn) accept(head *Head, p []byte) (n int, err error) {
	if c.rules.Hijacks != nil && c.rules.Hijacks(head) {
		return 0, c.hijack(head)
	}
	if c.rules.Check != nil {
		if response := c.rules.Check(head); response != nil {
			return 0, c.answer(c.Conn, response)
		}
	}
	c.scanner, c.empty = Scanner{}, 0
	c.body.begin(head.Length)
	c.serving.Store(c.ReadsAhead)
	c.drop(c.readAhead)
	c.pass, c.readAhead = len(head.Text())-c.readAhead, 0
	n = c.giveHead(p)
	if c.pass == 0 && len(c.buf) > 0 && n < len(p) && c.body.state != ended {
		m, _ := c.giveBody(p[n:]) // an error is in c.err, for the next Read
		n += m
	}
	c.own()
	return n, nil
}

// hijack gives the connection away.
func (c *Conn) hijack(head *Head) error {
	c.err = io.EOF
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return io.EOF
	}
	c.hijacked = true
	c.mu.Unlock()
	c.own()
	after := c.buf[len(head.Text()):]
	c.buf = nil
	c.OnHijack(head, after)
	return io.EOF
}

// endOfInput ends the connection after a Read without bytes.
func (c *Conn) endOfInput(err error) error {
	if re, ok := errors.AsType[tls.RecordHeaderError](err); ok && re.Conn != nil && looksLikeHTTP(re.RecordHeader[:]) {
		return c.answer(re.Conn, c.rules.Refuse(ErrPlain))
	}
	c.mu.Lock()
	late := !c.headDeadline.IsZero() && !time.Now().Before(c.headDeadline)
	c.mu.Unlock()
	if late && errors.Is(err, os.ErrDeadlineExceeded) {
		return c.refuse(ErrTimeout)
	}
	return err
}

// looksLikeHTTP reports whether a request can start with b: a method, or a method and
// a space.
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

// refuse ends the connection with the response to a refused request.
func (c *Conn) refuse(bad *Error) error { return c.answer(c.Conn, c.rules.Refuse(bad)) }

// answerTimeout limits the write of a response that ends a connection.
const answerTimeout = time.Second

// answer writes a response in place of the server, and ends the connection. The
// server is idle, so it writes nothing at the same time.
func (c *Conn) answer(conn net.Conn, response []byte) error {
	c.err, c.buf, c.borrowed = io.EOF, nil, false
	if response != nil {
		_ = conn.SetWriteDeadline(time.Now().Add(answerTimeout))
		if _, err := conn.Write(response); err == nil {
			Linger(conn)
		}
	}
	return io.EOF
}

// startHead starts HeadTimeout at the first byte of a head; endHead stops it.
func (c *Conn) startHead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.headDeadline.IsZero() && c.rules.HeadTimeout > 0 {
		c.headDeadline = time.Now().Add(c.rules.HeadTimeout)
		c.setReadDeadline()
	}
}

// endHead restores the server's deadline after a head.
func (c *Conn) endHead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.headDeadline.IsZero() {
		c.headDeadline = time.Time{}
		c.setReadDeadline()
	}
}

// setReadDeadline sets the earlier of the two deadlines. c.mu is held. It fails only on
// a closed connection, where the next read fails too.
func (c *Conn) setReadDeadline() {
	deadline := c.serverDeadline
	if !c.headDeadline.IsZero() && (deadline.IsZero() || c.headDeadline.Before(deadline)) {
		deadline = c.headDeadline
	}
	if !c.hijacked {
		_ = c.Conn.SetReadDeadline(deadline)
	}
}

// SetReadDeadline implements [net.Conn] for the server.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hijacked {
		return net.ErrClosed
	}
	c.serverDeadline = t
	c.setReadDeadline()
	return nil
}

// SetWriteDeadline implements [net.Conn] for the server.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hijacked {
		return net.ErrClosed
	}
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements [net.Conn] for the server.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite closes the sending side, where the connection below can do that.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	hijacked := c.hijacked
	c.mu.Unlock()
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok && !hijacked {
		return cw.CloseWrite()
	}
	return net.ErrClosed
}

// Close implements [net.Conn] for the server. It does nothing to a hijacked connection.
func (c *Conn) Close() error {
	c.mu.Lock()
	hijacked := c.hijacked
	c.closed = true
	c.mu.Unlock()
	if hijacked {
		return nil
	}
	return c.Conn.Close()
}

// lingerTimeout is how long a refused peer has to read the refusal.
const lingerTimeout = 500 * time.Millisecond

// Linger closes the sending side and reads for a moment after the last write: closing a
// socket with unread bytes resets the connection, and the peer would lose the response.
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
