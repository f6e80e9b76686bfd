// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package library

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/gatecast/gatecast/bench/peers/hub"

	"github.com/lxzan/gws"
)

// A GWS serves with github.com/lxzan/gws.
//
// From its README: its own server, without net/http; under Best Practice, ParallelEnabled,
// Recovery, and ReadLoop in a new goroutine, whose stack did not grow in the handshake; no
// compression, which the load does not use; Broadcaster for a message to many connections, which
// makes the frame once and queues it, so that one goroutine per busy connection writes; WriteAsync,
// through the same queue, for a message to one connection; SetDeadline, extended by received data.
// It does not ping by itself, so one goroutine pings all connections.
type GWS struct {
	gws.BuiltinEventHandler
	hub   *hub.Hub
	conns hub.Conns[*gws.Conn]
}

// sessionGateway is the key of the gateway id in a connection's session.
const sessionGateway = "gateway"

// Serve implements [hub.Library].
func (g *GWS) Serve(ln net.Listener, cfg *tls.Config, h *hub.Hub) error {
	g.hub = h
	if cfg != nil {
		ln = tls.NewListener(ln, cfg)
	}
	server := gws.NewServer(g, &gws.ServerOption{
		ParallelEnabled: true,
		Recovery:        gws.Recovery,
		Authorize: func(r *http.Request, session gws.SessionStorage) bool {
			id, ok := h.Gateway(r.Header.Get("api-key"))
			session.Store(sessionGateway, id)
			return ok
		},
	})
	server.OnRequest = func(nc net.Conn, br *bufio.Reader, r *http.Request) {
		c, err := server.GetUpgrader().UpgradeFromConn(nc, br, r)
		if err != nil {
			server.OnError(nc, err)
			return
		}
		go c.ReadLoop()
	}
	go g.ping()
	return server.RunListener(ln)
}

func (g *GWS) ping() {
	for range time.Tick(g.hub.PingInterval) {
		for c := range g.conns.All() {
			c.WriteAsync(gws.OpcodePing, nil, nil)
		}
	}
}

// OnOpen implements [gws.Event].
func (g *GWS) OnOpen(c *gws.Conn) {
	id := gatewayOf(c)
	g.OnPong(c, nil)
	g.conns.Add(id, c)
	_ = c.WriteMessage(gws.OpcodeText, g.hub.Ack(id)) // on an error the library closes the connection
}

// OnPong implements [gws.Event].
func (g *GWS) OnPong(c *gws.Conn, _ []byte) {
	_ = c.SetDeadline(time.Now().Add(g.hub.Timeout)) // fails as the next read does
}

// OnMessage implements [gws.Event].
func (g *GWS) OnMessage(_ *gws.Conn, m *gws.Message) { _ = m.Close() }

// OnClose implements [gws.Event].
func (g *GWS) OnClose(c *gws.Conn, _ error) { g.conns.Remove(gatewayOf(c), c) }

func gatewayOf(c *gws.Conn) string {
	id, _ := c.Session().Load(sessionGateway)
	return id.(string)
}

// Send implements [hub.Library].
func (g *GWS) Send(gatewayID string, message []byte) {
	for _, c := range g.conns.Of(gatewayID) {
		c.WriteAsync(gws.OpcodeText, message, nil)
	}
}

// SendAll implements [hub.Library].
func (g *GWS) SendAll(message []byte) {
	b := gws.NewBroadcaster(gws.OpcodeText, message)
	defer func() { _ = b.Close() }() // never fails
	for c := range g.conns.All() {
		_ = b.Broadcast(c) // the library closes a connection that cannot take it
	}
}
