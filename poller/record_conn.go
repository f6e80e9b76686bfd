// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/tlsrecord"
)

// A recordConn is a connection between its handshake and its loop. It blocks, and
// package tlsrecord seals and opens its records. Until something is written it keeps
// everything that has arrived, so that crypto/tls can be given all of it after all.
// When that is more than maxKept, which takes a lot of padding, the recordConn itself
// is the [net.Conn] that serves on; then one goroutine reads and another can write at
// the same time.
type recordConn struct {
	conn net.Conn // constant

	// Owned by the goroutine that reads.
	cipher []byte // arrived, not opened
	plain  []byte // opened, not read; lies in what was cipher

	// Owned by the one goroutine there is before the recordConn serves as a net.Conn.
	kept     []byte // all that has arrived, as it arrived; nil once something is written or keptOver
	keptOver bool   // more than maxKept has arrived
	written  bool

	writeMu sync.Mutex // held while a record is sealed and sent, to keep the order

	mu      sync.Mutex // taken after writeMu
	session *tlsrecord.Session
}

// Limits of what is read at once and kept, in bytes. A record can be all padding.
const (
	recordConnRead = 4 << 10
	maxKept        = 64 << 10
)

// newRecordConn returns the connection of a session. ahead has arrived already.
func newRecordConn(conn net.Conn, session *tlsrecord.Session, ahead []byte) *recordConn {
	return &recordConn{conn: conn, session: session, cipher: ahead, kept: bytes.Clone(ahead)}
}

func (r *recordConn) Read(b []byte) (int, error) {
	for len(r.plain) == 0 {
		if err := r.open(); err != nil {
			return 0, err
		}
		if len(r.plain) > 0 {
			break
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

// open opens what has arrived. An error after data is returned by the next call.
func (r *recordConn) open() (err error) {
	r.mu.Lock()
	r.plain, r.cipher, err = r.session.Open(r.cipher)
	r.mu.Unlock()
	if alert, ok := errors.AsType[tlsrecord.Alert](err); ok {
		_ = r.alert(alert) // the connection ends anyway
	}
	if len(r.plain) > 0 {
		return nil
	}
	return err
}

// fill reads from the socket once.
func (r *recordConn) fill() error {
	have := len(r.cipher)
	r.cipher = slices.Grow(r.cipher, recordConnRead)
	n, err := r.conn.Read(r.cipher[have : have+recordConnRead])
	r.cipher = r.cipher[:have+n]
	switch {
	case n == 0:
		return err
	case r.written || r.keptOver:
		return nil
	}
	if r.kept = append(r.kept, r.cipher[have:]...); len(r.kept) > maxKept {
		r.kept, r.keptOver = nil, true
	}
	return nil
}

// takePlain returns what was opened and not read.
func (r *recordConn) takePlain() []byte {
	b := r.plain
	r.plain = nil
	return b
}

// dropKept is called before the first write, which cannot be taken back.
func (r *recordConn) dropKept() {
	if !r.keptOver { // else another goroutine can be reading
		r.written, r.kept = true, nil
	}
}

func (r *recordConn) Write(b []byte) (int, error) {
	r.dropKept()
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	for n := 0; n < len(b); {
		chunk := b[n:min(len(b), n+tlsrecord.MaxPlaintext)]
		record, err := r.seal(chunk)
		if err != nil {
			return n, err
		}
		if _, err := r.conn.Write(record); err != nil {
			return n, err
		}
		n += len(chunk)
	}
	return len(b), nil
}

// seal returns a record of the chunk, after a key update if one is due.
func (r *recordConn) seal(chunk []byte) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	record, start, err := r.session.BeginRecord(make([]byte, 0, len(chunk)+tlsrecord.Overhead))
	if err != nil {
		return nil, err
	}
	return r.session.EndRecord(append(record, chunk...), start), nil
}

// alert sends an alert.
func (r *recordConn) alert(a tlsrecord.Alert) error {
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	r.mu.Lock()
	record := r.session.AppendAlert(nil, a)
	r.mu.Unlock()
	if len(record) == 0 { // an alert was sent before
		return nil
	}
	_, err := r.conn.Write(record)
	return err
}

// CloseWrite sends the close_notify alert.
func (r *recordConn) CloseWrite() error {
	r.dropKept()
	return r.alert(tlsrecord.CloseNotify)
}

// alertTimeout is how long Close tries to send the close_notify alert, which the
// socket nearly always takes at once.
const alertTimeout = 100 * time.Millisecond

// Close implements [net.Conn]. It sends the close_notify alert if no alert was sent
// (RFC 8446 section 6.1).
func (r *recordConn) Close() error {
	_ = r.conn.SetWriteDeadline(time.Now().Add(alertTimeout)) // ends a Write in progress too
	_ = r.CloseWrite()
	r.wipe()
	return r.conn.Close()
}

// wipe wipes the keys. A reader that follows gets an error.
func (r *recordConn) wipe() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session.Wipe()
}

// The rest implements [net.Conn].

func (r *recordConn) LocalAddr() net.Addr                { return r.conn.LocalAddr() }
func (r *recordConn) RemoteAddr() net.Addr               { return r.conn.RemoteAddr() }
func (r *recordConn) SetDeadline(t time.Time) error      { return r.conn.SetDeadline(t) }
func (r *recordConn) SetReadDeadline(t time.Time) error  { return r.conn.SetReadDeadline(t) }
func (r *recordConn) SetWriteDeadline(t time.Time) error { return r.conn.SetWriteDeadline(t) }

// rewind returns everything that has arrived, and wipes the session. It does nothing
// and reports false if more has arrived than is kept.
func (r *recordConn) rewind() (kept []byte, ok bool) {
	if r.keptOver {
		return nil, false
	}
	if len(r.kept) == 0 {
		panic("BUG: Rewind of a connection that was written to, or not read")
	}
	r.session.Wipe()
	return r.kept, true
}
