// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"net"
	"time"
)

// A wire is the socket of a connection as crypto/tls sees it: blocking at first,
// then non-blocking on a loop. The socket changes under a [crypto/tls.Conn] while
// the tls.Conn stays, so no byte that it has read ahead is lost. One goroutine at a
// time uses a wire: the one that does the handshake, later the loop's.
type wire struct {
	net.Conn          // nil once the descriptor is detached
	unread   []byte   // returned by Read before bytes of the socket
	stream   cipherRW // nil until a loop has the connection

	// During a handshake.
	records    *recordReader      // nil where crypto/tls keeps the records
	handshakes handshakeSemaphore // nil afterwards
	slot       *netpollYielder    // of handshakes; nil while the handshake waits for its peer
}

// A cipherRW reads and writes the ciphertext of a stream on a loop.
type cipherRW interface {
	readCipher(b []byte) (int, error)
	writeCipher(b []byte) (int, error)
}

func (w *wire) Read(b []byte) (int, error) {
	switch {
	case w.records != nil:
		return w.records.read(w, b)
	case len(w.unread) > 0:
		n := copy(b, w.unread)
		if w.unread = w.unread[n:]; len(w.unread) == 0 {
			w.unread = nil
		}
		return n, nil
	case w.stream != nil:
		return w.stream.readCipher(b)
	}
	return w.readSocket(b)
}

func (w *wire) Write(b []byte) (int, error) {
	if w.stream != nil {
		return w.stream.writeCipher(b)
	}
	return w.Conn.Write(b)
}

// readSocket reads from the blocking socket. A handshake that waits for its peer
// gives its slot to another one.
func (w *wire) readSocket(b []byte) (int, error) {
	if w.slot == nil {
		return w.Conn.Read(b)
	}
	w.releaseSlot()
	defer w.acquireSlot()
	return w.Conn.Read(b)
}

// acquireSlot waits for a slot of the handshake semaphore.
func (w *wire) acquireSlot() { w.slot = w.handshakes.acquire() }

// releaseSlot returns the slot.
func (w *wire) releaseSlot() {
	w.handshakes.release(w.slot)
	w.slot = nil
}

// endHandshake returns the slot. What follows a handshake computes little and
// needs none.
func (w *wire) endHandshake() {
	w.releaseSlot()
	w.handshakes = nil
}

// stopRecordReader ends the reading by records. ahead is what has arrived after the
// last record that crypto/tls was given; whole reports whether crypto/tls was given
// all of that record.
func (w *wire) stopRecordReader() (ahead []byte, whole bool) {
	r := w.records
	w.records = nil
	return r.arrived, r.missing == 0
}

// Deadlines are for the time before the loop, where reads and writes block.
// crypto/tls sets one around its closing alert on the loop too; there it does
// nothing.

func (w *wire) SetDeadline(t time.Time) error {
	if w.Conn == nil {
		return nil
	}
	return w.Conn.SetDeadline(t)
}

func (w *wire) SetReadDeadline(t time.Time) error {
	if w.Conn == nil {
		return nil
	}
	return w.Conn.SetReadDeadline(t)
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.Conn == nil {
		return nil
	}
	return w.Conn.SetWriteDeadline(t)
}
