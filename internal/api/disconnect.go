// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net"
	"syscall"
	"time"

	"github.com/gatecast/gatecast/internal/http1"

	"github.com/valyala/fasthttp"
)

// startLongPoll returns the context of a request that waits for something to
// happen. It ends when the node drains and when the client disconnects or
// closes its writing side. The caller calls done after the wait and before it
// answers: a client that closed only its writing side still reads the answer.
// At the bound on long polls it returns a problem.
func (s *Server) startLongPoll(ctx *fasthttp.RequestCtx) (c context.Context, done func(), err error) {
	// Add first and check then: of two requests at the bound one is always
	// refused.
	if s.longPolls.Add(1) > s.limits.longPolls {
		s.longPolls.Add(-1)
		return nil, nil, unavailable("%d requests are already waiting; try again later, or without the parameter wait", s.limits.longPolls)
	}
	c, cancel := context.WithCancel(s.pollCtx)
	unwatch := watchDisconnect(ctx.Conn(), cancel)
	return c, func() {
		unwatch()
		// unwatch has set a deadline in the past. fasthttp replaces this one by
		// its idle timeout.
		_ = ctx.Conn().SetReadDeadline(time.Now().Add(s.limits.read))
		cancel()
		s.longPolls.Add(-1)
	}, nil
}

// watchDisconnect calls gone when the peer closes its side of the connection or
// the connection is lost, until unwatch is called. Meanwhile nobody else may
// read the connection. It reads nothing itself: a following request stays in
// the socket's buffer.
func watchDisconnect(conn net.Conn, gone func()) (unwatch func()) {
	tcp := socketOf(conn)
	if tcp == nil {
		return func() {}
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return func() {}
	}
	// Without a deadline. fasthttp's own would end the wait too early.
	_ = tcp.SetReadDeadline(time.Time{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// The function is called at once, and again whenever the socket becomes
		// readable: data has arrived, or its end.
		_ = raw.Read(func(fd uintptr) bool {
			if !peerClosed(fd) {
				return false
			}
			gone()
			return true
		})
	}()
	return func() {
		_ = tcp.SetReadDeadline(time.Unix(1, 0)) // ends raw.Read
		<-ended
	}
}

// A socket is a connection that watchDisconnect can watch: a TCP connection.
type socket interface {
	net.Conn
	syscall.Conn
}

// socketOf returns the socket under a connection, or nil.
func socketOf(conn net.Conn) socket {
	for {
		switch c := conn.(type) {
		// The connection that the checkedListener made, then TLS, then the
		// socket.
		case *http1.Conn:
			conn = c.Conn
		case interface{ NetConn() net.Conn }: // a tls.Conn
			conn = c.NetConn()
		case socket:
			return c
		default:
			return nil
		}
	}
}
