// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package library has a gateway server for each of several WebSocket libraries, written as the
// authors of the library recommend, and two servers without a library that mark lower bounds:
// [Floor] and [Handshake].
//
// In each of them, as in gatecast, a connection has these costs: it is found by its gateway, it is
// pinged, and it is ended after a timeout without data. Floor and Handshake omit them.
package library

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/gatecast/gatecast/bench/peers/hub"
)

// writeTimeout is how long one connection can delay a broadcast, where the library writes to the
// socket during the broadcast.
const writeTimeout = 10 * time.Second

// requestTimeout bounds everything before the upgrade.
const requestTimeout = 10 * time.Second

// serveHTTP serves upgrades with net/http, over TLS unless cfg is nil. It calls upgrade for
// requests of gateways that h knows; it does not read their bodies.
func serveHTTP(ln net.Listener, cfg *tls.Config, h *hub.Hub, upgrade func(w http.ResponseWriter, r *http.Request, gatewayID string)) error {
	if cfg != nil {
		ln = tls.NewListener(ln, cfg)
	}
	server := &http.Server{
		ReadHeaderTimeout: requestTimeout,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, ok := h.Gateway(r.Header.Get("api-key"))
			if !ok {
				http.Error(w, "unknown token", http.StatusUnauthorized)
				return
			}
			upgrade(w, r, id)
		}),
	}
	return server.Serve(ln)
}
