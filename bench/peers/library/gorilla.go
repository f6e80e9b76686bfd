// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package library

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gatecast/gatecast/bench/peers/hub"

	"github.com/gorilla/websocket"
)

// A Gorilla serves with github.com/gorilla/websocket in the common way: a sync.Map of connections,
// two goroutines per connection, one to read and one to ping, and a mutex for writing.
//
// From its documentation: PreparedMessage for a message to several connections; WriteBufferPool,
// "useful when the application has a modest volume of writes across a large number of connections";
// its own small buffers, as in the chat example, so that those of net/http are released; its own
// goroutines, "to allow collection of memory referenced by the caller"; SetReadDeadline extended by
// the pong handler, and SetWriteDeadline before each write.
type Gorilla struct{ conns hub.Conns[*gorillaConn] }

type gorillaConn struct {
	*websocket.Conn
	mu     sync.Mutex    // held while writing a message
	closed chan struct{} // closed when reading has ended
}

// Serve implements [hub.Library].
func (g *Gorilla) Serve(ln net.Listener, cfg *tls.Config, h *hub.Hub) error {
	upgrader := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{}}
	return serveHTTP(ln, cfg, h, func(w http.ResponseWriter, r *http.Request, id string) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			slog.Error("upgrade", "err", err)
			return
		}
		c := &gorillaConn{Conn: conn, closed: make(chan struct{})}
		g.conns.Add(id, c)
		c.write(func() error { return conn.WriteMessage(websocket.TextMessage, h.Ack(id)) })
		go g.read(h, id, c)
		go c.ping(h.PingInterval)
	})
}

// read reads until the connection ends. The pong handler runs in it.
func (g *Gorilla) read(h *hub.Hub, id string, c *gorillaConn) {
	defer g.conns.Remove(id, c)
	defer func() { _ = c.Close() }() // it ends in any case
	defer close(c.closed)
	alive := func(string) error { return c.SetReadDeadline(time.Now().Add(h.Timeout)) }
	c.SetPongHandler(alive)
	_ = alive("") // fails as the next read does
	for {
		if _, _, err := c.NextReader(); err != nil {
			return
		}
	}
}

func (c *gorillaConn) ping(interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			if err := c.WriteControl(websocket.PingMessage, nil, now.Add(writeTimeout)); err != nil {
				return
			}
		case <-c.closed:
			return
		}
	}
}

// write writes a message. It closes a connection that cannot take it, which ends its goroutines.
func (c *gorillaConn) write(message func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout)) // never fails
	if message() != nil {
		_ = c.Close()
	}
}

// Send implements [hub.Library].
func (g *Gorilla) Send(gatewayID string, message []byte) {
	for _, c := range g.conns.Of(gatewayID) {
		c.write(func() error { return c.WriteMessage(websocket.TextMessage, message) })
	}
}

// SendAll implements [hub.Library].
func (g *Gorilla) SendAll(message []byte) {
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, message)
	if err != nil {
		slog.Error("cannot prepare a message", "err", err)
		return
	}
	for c := range g.conns.All() {
		c.write(func() error { return c.WritePreparedMessage(prepared) })
	}
}
