// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
)

// A watchedConn is a connection with a context that ends when it is closed.
type watchedConn struct {
	net.Conn
	open  context.Context
	close context.CancelFunc
}

// Close implements [net.Conn].
func (c *watchedConn) Close() error {
	c.close()
	return c.Conn.Close()
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// watched returns a dial function whose connections are a [*watchedConn].
func watched(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		open, cancel := context.WithCancel(context.Background())
		return &watchedConn{c, open, cancel}, nil
	}
}

// onConnClose returns a context for one request. Unless ctx has ended before, it calls f when the
// connection that the request is sent on is closed.
func onConnClose(ctx context.Context, f func()) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		conn := info.Conn
		if t, ok := conn.(*tls.Conn); ok {
			conn = t.NetConn()
		}
		if w, ok := conn.(*watchedConn); ok {
			stop := context.AfterFunc(w.open, f)
			context.AfterFunc(ctx, func() { stop() })
		}
	}})
}
