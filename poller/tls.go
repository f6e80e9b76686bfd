// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"crypto/tls"
	"errors"
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
	sealedStream
	conn *tls.Conn
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
	t.loop.taken = 0
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

func (t *tlsStream) Write(vec [][]byte) (int, error) { return t.write(vec, t.seal) }

// seal seals the next few records of a vector.
func (t *tlsStream) seal(chunk *chunker) (int, error) {
	b := chunk.next(t.loop.plainBuf[:0], sealBytes)
	t.loop.plainBuf = b[:0]
	if len(b) == 0 {
		return 0, nil
	}
	return t.conn.Write(b)
}

// CloseWrite sends the close_notify alert (RFC 8446 section 6.1) behind what is
// unsent, and ends the socket's sending side.
func (t *tlsStream) CloseWrite() {
	if t.conn.CloseWrite() == nil && t.flush() == nil {
		t.plain.CloseWrite()
	}
}

// Close sends the close_notify alert, if no alert was sent, as far as the socket takes
// it (RFC 8446 section 6.1, RFC 5246 section 7.2.1).
func (t *tlsStream) Close() {
	if !t.closed {
		_ = t.conn.CloseWrite() // fails where an alert was sent
		_ = t.flush()
	}
	t.plain.Close()
}
