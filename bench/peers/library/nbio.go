// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package library

import (
	stdtls "crypto/tls"
	"log/slog"
	"net"
	"net/http"

	"github.com/gatecast/gatecast/bench/peers/hub"

	"github.com/lesismal/llib/std/crypto/tls"
	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

// An NBIO serves with github.com/lesismal/nbio: nbhttp's engine on epoll, and TLS with its fork of
// crypto/tls.
//
// From its README and examples: IOModNonBlocking, for many connections; ReleaseWebsocketPayload;
// the default numbers of pollers and workers; Keepalive, a timer per connection that pings;
// KeepaliveTime, which ends a silent connection. It has nothing for a message to many connections:
// each WriteMessage makes its own frame, in a pooled buffer.
type NBIO struct{ conns hub.Conns[*websocket.Conn] }

// Serve implements [hub.Library].
func (n *NBIO) Serve(ln net.Listener, cfg *stdtls.Config, h *hub.Hub) error {
	logging.SetLevel(logging.LevelWarn)
	upgrader := websocket.NewUpgrader()
	upgrader.KeepaliveTime = h.Timeout
	upgrader.OnMessage(func(*websocket.Conn, websocket.MessageType, []byte) {})
	upgrader.OnClose(func(c *websocket.Conn, _ error) {
		if id, ok := c.Session().(string); ok {
			n.conns.Remove(id, c)
		}
	})
	config := nbhttp.Config{
		Network:                 "tcp",
		Listen:                  func(string, string) (net.Listener, error) { return ln, nil },
		IOMod:                   nbhttp.IOModNonBlocking,
		ReleaseWebsocketPayload: true,
		Handler:                 n.handler(upgrader, h),
	}
	if cfg == nil {
		config.Addrs = []string{ln.Addr().String()}
	} else {
		config.AddrsTLS = []string{ln.Addr().String()}
		config.TLSConfig = forkedConfig(cfg)
	}
	engine := nbhttp.NewEngine(config)
	if err := engine.Start(); err != nil {
		return err
	}
	engine.Wait()
	return nil
}

func (n *NBIO) handler(upgrader *websocket.Upgrader, h *hub.Hub) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := h.Gateway(r.Header.Get("api-key"))
		if !ok {
			http.Error(w, "unknown token", http.StatusUnauthorized)
			return
		}
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			slog.Error("upgrade", "err", err)
			return
		}
		c.SetSession(id)
		n.conns.Add(id, c)
		_ = c.WriteMessage(websocket.TextMessage, h.Ack(id)) // on an error the library closes the connection
		c.Keepalive(h.PingInterval)
	})
}

// forkedConfig returns the same configuration for the fork.
func forkedConfig(cfg *stdtls.Config) *tls.Config {
	forked := &tls.Config{MinVersion: cfg.MinVersion, NextProtos: cfg.NextProtos}
	for _, c := range cfg.Certificates {
		forked.Certificates = append(forked.Certificates, tls.Certificate{Certificate: c.Certificate, PrivateKey: c.PrivateKey})
	}
	return forked
}

// Send implements [hub.Library].
func (n *NBIO) Send(gatewayID string, message []byte) {
	for _, c := range n.conns.Of(gatewayID) {
		_ = c.WriteMessage(websocket.TextMessage, message) // as in handler
	}
}

// SendAll implements [hub.Library].
func (n *NBIO) SendAll(message []byte) {
	for c := range n.conns.All() {
		_ = c.WriteMessage(websocket.TextMessage, message) // as in handler
	}
}
