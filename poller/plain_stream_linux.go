// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"bytes"
	"fmt"
	"io"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// readBudget limits the bytes that one readiness event reads from one connection,
// so that a flood from one peer leaves time for the others. Bytes that remain
// raise the event again. The budget is the loop's: an event is of one connection.
const readBudget = readBytes

// A plain is a Stream without TLS, and the lower half of a stream with TLS.
type plain struct {
	loop   *Loop
	sink   Sink
	fd     int32
	armed  bool // for EPOLLOUT
	closed bool
}

// Open makes a connection a stream of the loop. The descriptor and the keys now
// belong to the stream; if Open fails it closes the descriptor and wipes the keys.
// Loop's goroutine only.
//
// Bytes inside a TLS connection raise no event: the caller reads once after Open.
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
		_ = l.epoll.Del(c.fd) // a failed Add leaves its callback registered
		_ = c.Close()
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	return s, nil
}

// ready is the epoll callback. It is bound to the stream and not to the number of
// its descriptor: when the stream was closed during this batch of events, its event
// finds it closed, even if the number is in use again.
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
	s.loop.readCost = 0
	n, err := s.read(s.loop.readBuf)
	return s.loop.readBuf[:n], err
}

// read reads into b with one system call.
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
	s.loop.readCost += n
	if n < len(b) { // the socket is empty, or raises another event
		s.loop.budget = 0
	}
	return n, nil
}

func (s *plain) ReadCost() int { return s.loop.readCost }

func (s *plain) Write(vec [][]byte) (int, error) {
	n, all, err := s.loop.writev(int(s.fd), vec)
	if err != nil {
		return n, err
	}
	return n, s.arm(n < all)
}

func (s *plain) Unsent() int { return 0 }

// arm turns EPOLLOUT on or off.
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
	_ = unix.Close(int(s.fd))
}
