// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"encoding/binary"
	"net"
	"time"
)

// A wire is the socket of a connection, as what is above it, crypto/tls for one,
// sees it: first blocking, then non-blocking on a loop. It changes under a
// [tls.Conn] while the tls.Conn stays, so that no byte it has read ahead is lost.
type wire struct {
	net.Conn            // until the descriptor is detached
	feeder   *feeder    // during a handshake whose records are taken over after it
	again    []byte     // to be read before the socket
	stream   *tlsStream // once a loop has the connection
	turns    turnstile  // during a handshake
	lap      *lap       // of turns, while the handshake computes
}

func (w *wire) Read(b []byte) (int, error) {
	switch {
	case w.feeder != nil:
		return w.feeder.read(w, b)
	case len(w.again) > 0:
		n := copy(b, w.again)
		if w.again = w.again[n:]; len(w.again) == 0 {
			w.again = nil
		}
		return n, nil
	case w.stream != nil:
		return w.stream.readCipher(b)
	}
	return w.readSocket(b)
}

// readSocket reads from the socket. A handshake that waits for its peer lets
// others compute.
func (w *wire) readSocket(b []byte) (int, error) {
	if w.lap == nil {
		return w.Conn.Read(b)
	}
	w.leave()
	defer w.enter()
	return w.Conn.Read(b)
}

func (w *wire) enter() { w.lap = w.turns.enter() }

func (w *wire) leave() {
	w.turns.leave(w.lap)
	w.lap = nil
}

// leaveForGood is the end of the handshake.
func (w *wire) leaveForGood() {
	w.leave()
	w.turns = nil
}

func (w *wire) Write(b []byte) (int, error) {
	if w.stream != nil {
		return w.stream.writeCipher(b)
	}
	return w.Conn.Write(b)
}

// stopFeeding ends the feeding, and returns what has arrived behind the last
// record that crypto/tls was given, and whether it was given that one whole.
func (w *wire) stopFeeding() (ahead []byte, whole bool) {
	f := w.feeder
	w.feeder = nil
	return f.arrived, f.left == 0
}

// SetDeadline is for the time before the loop. There nothing waits, and
// crypto/tls, which sets a deadline around its closing alert, is not to be told.
func (w *wire) SetDeadline(t time.Time) error {
	if w.Conn == nil {
		return nil
	}
	return w.Conn.SetDeadline(t)
}

// SetReadDeadline is as [wire.SetDeadline].
func (w *wire) SetReadDeadline(t time.Time) error {
	if w.Conn == nil {
		return nil
	}
	return w.Conn.SetReadDeadline(t)
}

// SetWriteDeadline is as [wire.SetDeadline].
func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.Conn == nil {
		return nil
	}
	return w.Conn.SetWriteDeadline(t)
}

// A feeder gives crypto/tls what arrives one record at a time, never a byte of
// the next one: what follows the handshake's last record is not for it.
type feeder struct {
	arrived []byte // and not given
	left    int    // bytes of the record being given that it still lacks
}

const (
	feederRead = 2 << 10 // a ClientHello with a post-quantum key share, in one read
	// recordHeader is the size of type, version and length (RFC 8446 section 5.1).
	recordHeader = 5
)

func (f *feeder) read(w *wire, b []byte) (int, error) {
	for len(f.arrived) == 0 || f.left == 0 && len(f.arrived) < recordHeader {
		if err := f.fill(w); err != nil {
			return 0, err
		}
	}
	if f.left == 0 {
		f.left = recordHeader + int(binary.BigEndian.Uint16(f.arrived[3:]))
	}
	n := copy(b, f.arrived[:min(f.left, len(f.arrived))])
	f.arrived = f.arrived[n:]
	f.left -= n
	return n, nil
}

func (f *feeder) fill(w *wire) error {
	b := make([]byte, len(f.arrived)+feederRead)
	have := copy(b, f.arrived)
	n, err := w.readSocket(b[have:])
	f.arrived = b[:have+n]
	if n > 0 {
		return nil
	}
	return err
}
