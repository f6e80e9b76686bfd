// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package library

import (
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gatecast/gatecast/bench/peers/hub"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A Gobwas serves with github.com/gobwas/ws and one goroutine per connection.
//
// From its README: the zero-copy upgrade with ws.Upgrader on the accepted connection, without
// net/http; a frame compiled once for all receivers, which is one Write per connection; the helper
// of wsutil for reading, which keeps no buffer between messages. It does not ping by itself, so one
// goroutine pings all connections.
type Gobwas struct {
	hub   *hub.Hub
	conns hub.Conns[*gobwasConn]
}

// A gobwasConn is what wsutil reads from, and writes control frames to.
type gobwasConn struct {
	net.Conn
	timeout time.Duration
	mu      sync.Mutex // held while writing a frame
}

// pingFrame is the ping frame.
var pingFrame = ws.MustCompileFrame(ws.NewPingFrame(nil))

// Serve implements [hub.Library].
func (g *Gobwas) Serve(ln net.Listener, cfg *tls.Config, h *hub.Hub) error {
	g.hub = h
	if cfg != nil {
		ln = tls.NewListener(ln, cfg)
	}
	go g.ping()
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		go g.open(nc)
	}
}

// open upgrades a connection, and continues in a new goroutine, whose stack did not grow in the
// handshake.
func (g *Gobwas) open(nc net.Conn) {
	id, err := upgrade(nc, g.hub)
	if err != nil {
		_ = nc.Close()
		return
	}
	c := &gobwasConn{Conn: nc, timeout: g.hub.Timeout}
	g.conns.Add(id, c)
	c.write(ws.MustCompileFrame(ws.NewTextFrame(g.hub.Ack(id))))
	go g.read(id, c)
}

// read reads until the connection ends, and answers control frames.
func (g *Gobwas) read(id string, c *gobwasConn) {
	defer g.conns.Remove(id, c)
	defer c.Close()
	for {
		if _, _, err := wsutil.ReadClientData(c); err != nil {
			return
		}
	}
}

// upgrade does the handshakes and returns the gateway's id.
func upgrade(nc net.Conn, h *hub.Hub) (id string, err error) {
	known := false
	u := ws.Upgrader{
		OnHeader: func(key, value []byte) error {
			if strings.EqualFold(string(key), "api-key") {
				id, known = h.Gateway(string(value))
			}
			return nil
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			if !known {
				return nil, ws.RejectConnectionError(ws.RejectionStatus(401), ws.RejectionReason("unknown token"))
			}
			return nil, nil
		},
	}
	_ = nc.SetDeadline(time.Now().Add(requestTimeout)) // fails as the next read does
	_, err = u.Upgrade(nc)
	return id, err
}

// Read reads, and fails if the peer sends nothing for too long.
func (c *gobwasConn) Read(p []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(c.timeout)) // fails as the read does
	return c.Conn.Read(p)
}

// Write writes a frame.
func (c *gobwasConn) Write(frame []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails as the write does
	return c.Conn.Write(frame)
}

// write writes a frame. It closes a connection that cannot take it, which ends its goroutine.
func (c *gobwasConn) write(frame []byte) {
	if _, err := c.Write(frame); err != nil {
		_ = c.Close()
	}
}

func (g *Gobwas) ping() {
	for range time.Tick(g.hub.PingInterval) {
		for c := range g.conns.All() {
			c.write(pingFrame)
		}
	}
}

// Send implements [hub.Library].
func (g *Gobwas) Send(gatewayID string, message []byte) {
	frame := ws.MustCompileFrame(ws.NewTextFrame(message))
	for _, c := range g.conns.Of(gatewayID) {
		c.write(frame)
	}
}

// SendAll implements [hub.Library].
func (g *Gobwas) SendAll(message []byte) {
	frame := ws.MustCompileFrame(ws.NewTextFrame(message))
	for c := range g.conns.All() {
		c.write(frame)
	}
}
