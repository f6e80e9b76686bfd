// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import "errors"

// ErrWouldBlock is returned by [Stream.Read] when no bytes have arrived.
var ErrWouldBlock = errors.New("poller: nothing to read yet")

// A Sink is the owner of a stream. The loop calls it on its goroutine.
type Sink interface {
	// Readable is called when bytes, an end of file or an error can be read. The
	// sink reads until [ErrWouldBlock] or another error.
	Readable()
	// Writable is called when the socket takes bytes again after a short Write.
	Writable()
}

// A Stream is one non-blocking connection of a loop. It is used on the loop's
// goroutine only.
type Stream interface {
	// Read returns bytes that have arrived. It returns [ErrWouldBlock] when there
	// are none, [io.EOF] when the peer has closed its side, or the connection's
	// error. The bytes lie in the loop's scratch buffer: the caller owns them
	// until the next Read of any stream of the loop.
	Read() ([]byte, error)
	// ReadCost returns the cost of the last Read in bytes: what it took from the
	// socket, which can be more than it returned and is counted on ErrWouldBlock
	// too. A TLS key update by the peer adds 4 KiB for the work that it causes.
	ReadCost() int
	// Write takes bytes from the front of vec and returns how many. If the socket
	// does not take all of them, the sink's Writable is called as soon as it
	// takes more. The stream keeps nothing of vec.
	Write(vec [][]byte) (n int, err error)
	// Unsent returns how many bytes Write took that the socket has not taken:
	// sealed TLS records, which cannot be unsealed. Each Write first tries to
	// send these.
	Unsent() int
	// CloseWrite closes the sending side. With TLS it sends close_notify first.
	CloseWrite()
	// Close closes the connection and its descriptor. The sink is not called
	// again. A second Close does nothing.
	Close()
}
