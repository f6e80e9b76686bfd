// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package library has a server of gateways for each of some WebSocket
// libraries, each as its authors would have it written, and two that are no
// library's and mark what cannot be undercut: [Floor] and [Handshake].
//
// A connection has these costs in each of them, as in gatecast: it is found by
// its gateway, it is pinged, and it is ended when it has been silent for too
// long. Floor and Handshake leave them out.
package library

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/gatecast/gatecast/bench/peers/hub"
)

// writeTimeout is how long one connection may hold up a broadcast, where the
// library writes to the socket while the broadcast waits.
const writeTimeout = 10 * time.Second

// requestTimeout bounds everything up to the upgrade.
const requestTimeout = 10 * time.Second

// serveHTTP serves upgrades by net/http, over TLS unless cfg is nil. Upgrade is
// called for requests of gateways that h knows; the request's body is not read.
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
