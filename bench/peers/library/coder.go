// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package library

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/gatecast/gatecast/bench/peers/hub"

	"github.com/coder/websocket"
)

// A Coder serves with github.com/coder/websocket.
//
// From its documentation: CloseRead, the helper for connections that are only written to, which is
// a goroutine that reads; Ping, which waits for its pong and so needs another goroutine; Write from
// any goroutine, without a mutex. It has nothing for a message to many connections: each Write
// makes its own frame. One context is the deadline of a whole broadcast, while its chat example has
// one per write.
type Coder struct{ conns hub.Conns[*websocket.Conn] }

// Serve implements [hub.Library].
func (d *Coder) Serve(ln net.Listener, cfg *tls.Config, h *hub.Hub) error {
	return serveHTTP(ln, cfg, h, func(w http.ResponseWriter, r *http.Request, id string) {
		c, err := websocket.Accept(speller{w}, r, nil)
		if err != nil {
			slog.Error("upgrade", "err", err)
			return
		}
		d.conns.Add(id, c)
		d.write(c, h.Ack(id))
		go d.keep(h, id, c)
	})
}

// A speller sends a header with the spelling of RFC 6455. The library uses that of net/http, which
// is as valid, but the load knows only one.
type speller struct{ http.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (s speller) WriteHeader(status int) {
	const canonical = "Sec-Websocket-Accept"
	header := s.Header()
	header["Sec-WebSocket-Accept"] = header[canonical]
	delete(header, canonical)
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for [http.ResponseController].
func (s speller) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// keep pings a connection until it ends.
func (d *Coder) keep(h *hub.Hub, id string, c *websocket.Conn) {
	defer d.conns.Remove(id, c)
	defer func() { _ = c.CloseNow() }() // it ends in any case
	ctx := c.CloseRead(context.Background())
	ticker := time.NewTicker(h.PingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if ping(ctx, c, h.Timeout-h.PingInterval) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func ping(ctx context.Context, c *websocket.Conn, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.Ping(ctx)
}

// write writes a message. On an error the library closes the connection, which ends its goroutines.
func (d *Coder) write(c *websocket.Conn, message []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	_ = c.Write(ctx, websocket.MessageText, message)
}

// Send implements [hub.Library].
func (d *Coder) Send(gatewayID string, message []byte) {
	for _, c := range d.conns.Of(gatewayID) {
		d.write(c, message)
	}
}

// SendAll implements [hub.Library].
func (d *Coder) SendAll(message []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	for c := range d.conns.All() {
		_ = c.Write(ctx, websocket.MessageText, message) // as in write
	}
}
