// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"crypto/tls"
	"errors"
)

// A tlsStream is a Stream whose records crypto/tls seals and opens, over the same
// non-blocking socket that a plain stream uses. It depends on three properties of
// crypto/tls (conn.go of Go 1.26), which tests hold:
//
//   - A read error that is a net.Error and Temporary is not kept: a partial record
//     stays in the tls.Conn, and the next Read continues with it.
//   - Every write error is kept, so the writer below must take all ciphertext. It
//     goes to the loop's scratch buffer; what the socket refuses is kept here.
//   - Records that were read ahead raise no event, so an event is read until the
//     tls.Conn itself would block.
type tlsStream struct {
	sealedStream
	conn *tls.Conn
}

// wouldBlock is ErrWouldBlock in the form that crypto/tls does not keep.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return ErrWouldBlock.Error() }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// readCipher implements [cipherRW]: crypto/tls reads ciphertext by it.
func (t *tlsStream) readCipher(b []byte) (int, error) {
	n, err := t.read(b)
	if err == ErrWouldBlock {
		return 0, wouldBlock{}
	}
	return n, err
}

// writeCipher implements [cipherRW]: crypto/tls writes records by it. They wait in
// cipherBuf until flush.
func (t *tlsStream) writeCipher(b []byte) (int, error) {
	t.loop.cipherBuf = append(t.loop.cipherBuf, b...)
	return len(b), nil
}

func (t *tlsStream) Read() ([]byte, error) {
	t.loop.readCost = 0
	n, err := t.conn.Read(t.loop.readBuf)
	if len(t.loop.cipherBuf) > 0 { // crypto/tls answered a KeyUpdate or sent an alert
		if ferr := t.flush(); err == nil {
			err = ferr
		}
	}
	if n > 0 {
		return t.loop.readBuf[:n], nil // crypto/tls keeps an error for the next call
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

// CloseWrite sends the close_notify alert (RFC 8446 section 6.1) after what is
// unsent, and closes the socket's sending side.
func (t *tlsStream) CloseWrite() {
	if t.conn.CloseWrite() == nil && t.flush() == nil {
		t.plain.CloseWrite()
	}
}

// Close sends the close_notify alert if no alert was sent, as far as the socket
// takes it (RFC 8446 section 6.1, RFC 5246 section 7.2.1).
func (t *tlsStream) Close() {
	if !t.closed {
		_ = t.conn.CloseWrite() // fails if an alert was sent
		_ = t.flush()
	}
	t.plain.Close()
}
