// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package library

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/gatecast/gatecast/bench/peers/hub"
)

// A Handshake does the TLS handshake of crypto/tls with each client, and keeps the connection. It
// has no WebSocket and delivers nothing.
type Handshake struct {
	mu    sync.Mutex
	conns []*tls.Conn
}

// Serve implements [hub.Library].
func (s *Handshake) Serve(ln net.Listener, cfg *tls.Config, _ *hub.Hub) error {
	if cfg == nil {
		return errors.New("handshake needs TLS: start it without --plaintext")
	}
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		go s.take(tls.Server(nc, cfg))
	}
}

func (s *Handshake) take(c *tls.Conn) {
	_ = c.SetDeadline(time.Now().Add(requestTimeout)) // fails as the handshake does
	if err := c.Handshake(); err != nil {
		slog.Error("handshake", "err", err)
		_ = c.Close()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
}

// Send implements [hub.Library]. It does nothing.
func (*Handshake) Send(string, []byte) {}

// SendAll implements [hub.Library]. It does nothing.
func (*Handshake) SendAll([]byte) {}
