// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"crypto/tls"
	"errors"

	"golang.org/x/sys/unix"
)

// A tlsStream is a Stream whose bytes crypto/tls seals and opens, over the same
// non-blocking socket that a plain one uses. Three properties of crypto/tls
// (read in Go 1.26's conn.go) carry it:
//
//   - A read error that is a net.Error and Temporary does not stick: a partial
//     record stays in the tls.Conn, and the next Read goes on with it.
//   - Every write error does stick, so what lies below must take all ciphertext.
//     It takes it into the loop's scratch; what the socket then refuses is kept
//     here.
//   - Records already read ahead raise no event, so an event is read until the
//     tls.Conn itself would block.
type tlsStream struct {
	plain
	conn   *tls.Conn
	unsent []byte // sealed, refused by the socket; nil when it took all
}

// wouldBlock is ErrWouldBlock in the form that crypto/tls does not take for
// final.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return ErrWouldBlock.Error() }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// readCipher is the tls.Conn's source.
func (t *tlsStream) readCipher(b []byte) (int, error) {
	n, err := t.read(b)
	if err == ErrWouldBlock {
		return 0, wouldBlock{}
	}
	return n, err
}

// writeCipher is the tls.Conn's sink. It gathers records until flush.
func (t *tlsStream) writeCipher(b []byte) (int, error) {
	t.loop.cipherBuf = append(t.loop.cipherBuf, b...)
	return len(b), nil
}

func (t *tlsStream) Read() ([]byte, error) {
	n, err := t.conn.Read(t.loop.readBuf)
	if len(t.loop.cipherBuf) > 0 { // crypto/tls answered a KeyUpdate or sent an alert
		if ferr := t.flush(); err == nil {
			err = ferr
		}
	}
	if n > 0 {
		return t.loop.readBuf[:n], nil // an error stays for the next call
	}
	if _, ok := errors.AsType[wouldBlock](err); ok {
		return nil, ErrWouldBlock
	}
	return nil, err
}

// Write seals in chunks of a few full records and sends each with one system
// call, for as long as the socket takes them.
func (t *tlsStream) Write(vec [][]byte) (n int, err error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	chunk := chunker{vec: vec}
	for len(t.unsent) == 0 {
		b := chunk.next(t.loop.plainBuf[:0])
		t.loop.plainBuf = b[:0]
		if len(b) == 0 {
			break
		}
		if _, err := t.conn.Write(b); err != nil {
			t.loop.cipherBuf = t.loop.cipherBuf[:0]
			return n, err
		}
		n += len(b)
		if err := t.flush(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// A chunker cuts a vector into chunks of sealBytes.
type chunker struct {
	vec [][]byte
	off int // into vec[0]
}

// next appends the next chunk to dst.
func (c *chunker) next(dst []byte) []byte {
	for len(c.vec) > 0 && len(dst) < sealBytes {
		b := c.vec[0][c.off:]
		b = b[:min(len(b), sealBytes-len(dst))]
		dst = append(dst, b...)
		if c.off += len(b); c.off == len(c.vec[0]) {
			c.vec, c.off = c.vec[1:], 0
		}
	}
	return dst
}

// flush sends what was refused before, then what is sealed now, keeps what the
// socket refuses, and arms for it.
func (t *tlsStream) flush() error {
	sealed := t.loop.cipherBuf
	defer func() { t.loop.cipherBuf = t.loop.cipherBuf[:0] }()
	if len(t.unsent) > 0 {
		t.unsent = append(t.unsent, sealed...) // behind, to keep the order
		n, err := t.send(t.unsent)
		if err != nil {
			return err
		}
		if t.unsent = t.unsent[n:]; len(t.unsent) == 0 {
			t.unsent = nil
		}
		return t.arm(len(t.unsent) > 0)
	}
	if len(sealed) == 0 {
		return t.arm(false)
	}
	n, err := t.send(sealed)
	if err != nil {
		return err
	}
	if n < len(sealed) {
		t.unsent = append([]byte(nil), sealed[n:]...)
	}
	return t.arm(n < len(sealed))
}

// send writes b once and returns how much the socket took.
func (t *tlsStream) send(b []byte) (int, error) {
	n, err := ignoringEINTR(func() (int, error) { return unix.Write(t.fd, b) })
	if err == unix.EAGAIN {
		return 0, nil
	}
	return max(n, 0), err
}

func (t *tlsStream) Unsent() int { return len(t.unsent) }

// CloseWrite sends the close_notify alert (RFC 8446 section 6.1) behind what is
// unsent, and ends the socket's sending side.
func (t *tlsStream) CloseWrite() {
	if t.conn.CloseWrite() == nil && t.flush() == nil {
		t.plain.CloseWrite()
	}
}
