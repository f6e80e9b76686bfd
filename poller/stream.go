// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// ErrWouldBlock says that nothing more has arrived.
var ErrWouldBlock = errors.New("poller: nothing to read yet")

// A Sink is told what its stream is ready for.
type Sink interface {
	// Readable says that bytes, an end of file or an error wait to be read. The
	// sink reads until [ErrWouldBlock] or another error.
	Readable()
	// Writable says that the socket takes bytes again after a Write was short.
	Writable()
}

// A Stream is one non-blocking connection of a loop. It is used on the loop's
// goroutine only.
type Stream interface {
	// Read returns bytes that have arrived, [ErrWouldBlock] when there are
	// none, [io.EOF] when the peer has ended its side, or the connection's
	// error. The bytes lie in the loop's scratch buffer: they are the caller's
	// to change until the next Read of any stream of the loop.
	Read() ([]byte, error)
	// ReadCost returns how many bytes the last Read has taken off the socket,
	// which may be more than it returned and is not nothing when it would block.
	// A change of the peer's keys counts for 4 KiB, for what it costs.
	ReadCost() int
	// Write takes bytes from the front of vec and returns how many. When the
	// socket would not take them all, the sink's Writable is called as soon as
	// it does. The stream keeps nothing of vec.
	Write(vec [][]byte) (n int, err error)
	// Unsent returns how many bytes Write took that the socket has not: sealed
	// records, which cannot be unsealed. Each call of Write first tries to send
	// these.
	Unsent() int
	// CloseWrite tells the peer that nothing more will come.
	CloseWrite()
	// Close ends the connection. The sink is not called again. Closing twice is
	// harmless.
	Close()
}

// readBudget bounds the bytes that one readiness event reads of one connection,
// so that a flood from one peer leaves the others their turns. What is left
// raises the event again. It is the loop's: an event is of one connection.
const readBudget = readBytes

// A plain is a Stream without TLS, and the lower half of one with.
type plain struct {
	loop   *Loop
	sink   Sink
	fd     int32
	armed  bool // for EPOLLOUT
	closed bool
}

// Open makes a connection a stream of the loop. The descriptor and the keys become
// the stream's; when Open fails it closes the one and wipes the others. Loop's
// goroutine only.
//
// Bytes may be waiting inside a TLS connection that raise no event: the caller
// reads once after Open.
func (l *Loop) Open(c *Conn, sink Sink) (Stream, error) {
	var (
		s Stream
		p *plain
	)
	switch {
	case c.records != nil:
		t := &recordStream{session: c.records.session, partial: bytes.Clone(c.records.cipher)}
		p, s = &t.plain, t
	case c.tls != nil:
		t := &tlsStream{conn: c.tls}
		c.wire.stream, p, s = t, &t.plain, t
	default:
		p = new(plain)
		s = p
	}
	*p = plain{loop: l, sink: sink, fd: int32(c.fd)}
	l.budget = readBudget
	if err := l.epoll.Add(c.fd, netpoll.EPOLLIN, p.ready); err != nil {
		_ = l.epoll.Del(c.fd) // a failed Add leaves its callback behind
		_ = c.Close()
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	return s, nil
}

// ready is the epoll callback. It is bound to the stream and not to the number
// of its descriptor, so an event of this batch that was meant for a closed
// stream finds the stream closed, even when the number is in use again.
func (s *plain) ready(ev netpoll.EpollEvent) {
	s.loop.budget = readBudget
	if !s.closed && ev&(netpoll.EPOLLIN|netpoll.EPOLLHUP|netpoll.EPOLLERR) != 0 {
		s.sink.Readable()
	}
	if !s.closed && ev&netpoll.EPOLLOUT != 0 {
		s.sink.Writable()
	}
}

func (s *plain) Read() ([]byte, error) {
	s.loop.taken = 0
	n, err := s.read(s.loop.readBuf)
	return s.loop.readBuf[:n], err
}

// read reads into b once.
func (s *plain) read(b []byte) (int, error) {
	if s.loop.budget <= 0 {
		return 0, ErrWouldBlock
	}
	n, err := ignoringEINTR(func() (int, error) { return unix.Read(int(s.fd), b) })
	switch {
	case err == unix.EAGAIN:
		return 0, ErrWouldBlock
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	s.loop.budget -= n
	s.loop.taken += n
	if n < len(b) { // the socket is dry, or raises another event
		s.loop.budget = 0
	}
	return n, nil
}

func (s *plain) ReadCost() int { return s.loop.taken }

func (s *plain) Write(vec [][]byte) (int, error) {
	n, all, err := s.loop.writev(int(s.fd), vec)
	if err != nil {
		return n, err
	}
	return n, s.arm(n < all)
}

func (s *plain) Unsent() int { return 0 }

// arm asks for an event when the socket takes bytes, or no longer for one.
func (s *plain) arm(out bool) error {
	if s.armed == out {
		return nil
	}
	events := netpoll.EpollEvent(netpoll.EPOLLIN)
	if out {
		events |= netpoll.EPOLLOUT
	}
	if err := s.loop.epoll.Mod(int(s.fd), events); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	s.armed = out
	return nil
}

func (s *plain) CloseWrite() { _ = unix.Shutdown(int(s.fd), unix.SHUT_WR) }

func (s *plain) Close() {
	if s.closed {
		return
	}
	s.closed = true
	_ = s.loop.epoll.Del(int(s.fd))
	unix.Close(int(s.fd))
}
