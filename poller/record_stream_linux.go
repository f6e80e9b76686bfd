// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"errors"
	"io"

	"github.com/gatecast/gatecast/internal/tlsrecord"
)

// A recordStream is a Stream whose records package tlsrecord seals and opens. While
// nothing moves it holds keys and no buffer.
type recordStream struct {
	sealedStream
	session *tlsrecord.Session
	partial []byte // the beginning of a record; nil between records
}

const (
	// sealRecords is how many full records are sealed for one write.
	sealRecords = sealBytes / tlsrecord.MaxPlaintext

	// updateCost is the cost of a key update, in bytes: a record of 27 bytes makes
	// this side derive three secrets.
	updateCost = 4 << 10

	// pingBytes is more than a WebSocket ping has, and less than any event.
	pingBytes = 16
)

func (t *recordStream) Read() ([]byte, error) {
	t.loop.readCost = 0
	for {
		if err := t.session.Err(); err != nil {
			return nil, err
		}
		buf := t.loop.readBuf
		have := copy(buf, t.partial)
		n, err := t.read(buf[have:])
		switch {
		case err == ErrWouldBlock:
			t.session.ReleaseReadKey()
			return nil, err
		case err == io.EOF && have > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		data, err := t.open(buf[:have+n])
		if len(data) > 0 {
			return data, nil // the session keeps the error for the next call
		}
		if err != nil {
			return nil, err
		}
	}
}

// open opens the records of b and keeps the beginning of the last one. It answers a
// bad record with an alert.
func (t *recordStream) open(b []byte) (data []byte, err error) {
	data, rest, err := t.session.Open(b)
	t.keep(rest)
	t.charge(t.session.TakeUpdates() * updateCost)
	if alert, ok := errors.AsType[tlsrecord.Alert](err); ok {
		t.alert(alert)
	}
	return data, err
}

// charge counts work as bytes that were read.
func (t *recordStream) charge(n int) {
	t.loop.readCost += n
	t.loop.budget -= n
}

// keep keeps the beginning of a record until the rest of it arrives.
func (t *recordStream) keep(rest []byte) {
	if len(rest) == 0 {
		t.partial = nil
		return
	}
	t.partial = append(t.partial[:0], rest...)
}

// alert sends an alert after what is unsent.
func (t *recordStream) alert(a tlsrecord.Alert) {
	t.loop.cipherBuf = t.session.AppendAlert(t.loop.cipherBuf, a)
	_ = t.flush() // the next Read or Write returns a socket error
}

// Write implements [Stream]. If it sent no more than a ping, the connection is
// probably idle until the next ping, and the expanded key is released: it is most of
// the memory of an idle connection, and expanding it again takes less than 1 µs.
func (t *recordStream) Write(vec [][]byte) (int, error) {
	n, err := t.write(vec, t.seal)
	if 0 < n && n < pingBytes {
		t.session.ReleaseWriteKey()
	}
	return n, err
}

// seal seals the next few records of a vector straight from its slices.
func (t *recordStream) seal(chunk *chunker) (n int, err error) {
	for range sealRecords {
		if chunk.empty() {
			break
		}
		b, start, err := t.session.BeginRecord(t.loop.cipherBuf)
		if err != nil {
			return n, err
		}
		body := len(b)
		b = chunk.next(b, tlsrecord.MaxPlaintext)
		n += len(b) - body
		t.loop.cipherBuf = t.session.EndRecord(b, start)
	}
	return n, nil
}

// CloseWrite sends the close_notify alert (RFC 8446 section 6.1) after what is
// unsent, and closes the socket's sending side.
func (t *recordStream) CloseWrite() {
	t.alert(tlsrecord.CloseNotify)
	t.plain.CloseWrite()
}

// Close sends the close_notify alert if no alert was sent, as far as the socket
// takes it. Each side sends one, whichever closes first (RFC 8446 section 6.1).
func (t *recordStream) Close() {
	if !t.closed {
		t.alert(tlsrecord.CloseNotify)
	}
	t.session.Wipe()
	t.partial = nil
	t.plain.Close()
}
