// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A serverConn is the server's end of a connection in the examples.
type serverConn struct{ net.Conn }

func (c *serverConn) send(text string) { _ = wsutil.WriteServerText(c, []byte(text)) }

// startServer starts a server that acks each connection and then runs script.
func startServer(script func(*serverConn)) *httptest.Server {
	return httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer conn.Close()
		c := &serverConn{conn}
		c.send(`{"type":"connection.ack","gatewayId":"edge","cursor":"k3f9-1041","resumed":true}`)
		script(c)
		for err == nil { // reads acks until the client closes; answers its close frame
			_, _, err = wsutil.ReadClientData(conn)
		}
	}))
}

func serverURL(s *httptest.Server) string { return "wss" + strings.TrimPrefix(s.URL, "https") }

func serverTLS(s *httptest.Server) *tls.Config {
	return s.Client().Transport.(*http.Transport).TLSClientConfig
}
