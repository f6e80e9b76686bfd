// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bytes"
	"errors"
	"net"
	"slices"

	"gatecast/internal/tlsrecord"
)

// A recordConn is a connection between its handshake and its loop: blocking, and
// with its records opened and sealed here. It keeps what it has read until
// something is written, so that crypto/tls can be given it after all.
type recordConn struct {
	conn    net.Conn
	session *tlsrecord.Session
	cipher  []byte // arrived, not opened
	plain   []byte // opened, not read; lies in what was cipher
	kept    []byte // all that has arrived, as it arrived; nil once something is written
	written bool
}

// Bounds on what is read before a connection is on its loop, in bytes. A record
// may be all padding.
const (
	recordConnRead = 4 << 10
	maxKept        = 64 << 10
)

var errTooMuch = errors.New("poller: more than 64 KiB before the upgrade")

// newRecordConn returns the connection of a session. ahead is what has arrived.
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

// open opens what has arrived. An error behind data is told at the next call.
func (r *recordConn) open() (err error) {
	r.plain, r.cipher, err = r.session.Open(r.cipher)
	if alert, ok := errors.AsType[tlsrecord.Alert](err); ok {
		_, _ = r.conn.Write(r.session.AppendAlert(nil, alert)) // the connection ends anyway
	}
	if len(r.plain) > 0 {
		return nil
	}
	return err
}

// fill reads from the socket.
func (r *recordConn) fill() error {
	have := len(r.cipher)
	r.cipher = slices.Grow(r.cipher, recordConnRead)
	n, err := r.conn.Read(r.cipher[have : have+recordConnRead])
	r.cipher = r.cipher[:have+n]
	switch {
	case n == 0:
		return err
	case r.written:
		return nil
	}
	r.kept = append(r.kept, r.cipher[have:]...)
	if len(r.kept) > maxKept {
		return errTooMuch
	}
	return nil
}

// takePlain returns what was opened and not read.
func (r *recordConn) takePlain() []byte {
	b := r.plain
	r.plain = nil
	return b
}

func (r *recordConn) Write(b []byte) (int, error) {
	r.written, r.kept = true, nil
	for n := 0; n < len(b); {
		part := b[n:min(len(b), n+tlsrecord.MaxPlaintext)]
		record, start, err := r.session.Begin(make([]byte, 0, len(part)+tlsrecord.Overhead))
		if err != nil {
			return n, err
		}
		record = r.session.End(append(record, part...), start)
		if _, err := r.conn.Write(record); err != nil {
			return n, err
		}
		n += len(part)
	}
	return len(b), nil
}

func (r *recordConn) CloseWrite() error {
	r.written, r.kept = true, nil
	_, err := r.conn.Write(r.session.AppendAlert(nil, tlsrecord.CloseNotify))
	return err
}

// rewind gives back everything that has arrived, and the session up.
func (r *recordConn) rewind() []byte {
	if len(r.kept) == 0 {
		panic("BUG: a connection rewound that has been written to, or not read")
	}
	r.session.Wipe()
	return r.kept
}
