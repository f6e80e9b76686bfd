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

// waiting returns the context of a request that waits for something to happen: it ends
// when the node drains, and when the client has gone or ended its side. The caller calls
// done when it has waited, and answers then: a client that only ended its side reads
// that. The number of such requests is bounded; at the bound it is a problem.
func (s *Server) startLongPoll(ctx *fasthttp.RequestCtx) (c context.Context, done func(), err error) {
	if s.longPolls.Add(1) > s.limits.longPolls {
		s.longPolls.Add(-1)
		return nil, nil, unavailable("%d requests wait already; ask again later, or without wait", s.limits.longPolls)
	}
	c, cancel := context.WithCancel(s.pollCtx)
	unwatch := watchDisconnect(ctx.Conn(), cancel)
	return c, func() {
		unwatch()
		// The server's own for what comes next; it is replaced by the idle timeout.
		_ = ctx.Conn().SetReadDeadline(time.Now().Add(s.limits.read))
		cancel()
		s.longPolls.Add(-1)
	}, nil
}

// watch calls gone when a connection's peer has ended its side of it, or the connection
// is lost, until unwatch is called. Nothing else may read the connection meanwhile, and
// watch does not: a request that follows is left where it is.
func watchDisconnect(conn net.Conn, gone func()) (unwatch func()) {
	tcp := socketOf(conn)
	if tcp == nil {
		return func() {}
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return func() {}
	}
	_ = tcp.SetReadDeadline(time.Time{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// Called at once, and again whenever something arrives: data, or the end.
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

// A socket is what watch watches: a TCP connection.
type socket interface {
	net.Conn
	syscall.Conn
}

// under returns the socket of a connection, nil for none.
func socketOf(conn net.Conn) socket {
	for {
		switch c := conn.(type) {
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
