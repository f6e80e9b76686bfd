// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gatecast/gatecast/client"
	"github.com/gatecast/gatecast/frame"

	"github.com/gobwas/ws"
)

// A gateway that keeps its position in a file, so that it misses nothing while it is
// restarted.
func ExampleRun() {
	server := startServer()
	defer server.Close()
	ctx, cancel := context.WithCancel(context.Background())
	err := client.Run(ctx, client.Config{
		URL:    url(server),
		Token:  "gc_secret",
		TLS:    &tls.Config{RootCAs: roots(server)},
		Cursor: new(client.MemoryCursor), // client.FileCursor("/var/lib/gateway/cursor") in earnest
		Handler: func(ctx context.Context, e client.Event) error {
			fmt.Printf("%s %s %s\n", e.ID, e.Type, e.Payload)
			cancel() // one is enough
			return nil
		},
		OnResync: func(ctx context.Context, r client.Resync) {
			// Fetch everything from the platform.
		},
	})
	fmt.Println(err)
	// Output:
	// k3f9-1042 api.deployed {"apiId":"weather"}
	// context canceled
}

func ExampleDial() {
	server := startServer()
	defer server.Close()
	conn, err := client.Dial(context.Background(), client.Config{
		URL: url(server), Token: "gc_secret", TLS: &tls.Config{RootCAs: roots(server)},
		Since: "k3f9-1041",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	e, err := conn.Next(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(conn.Accepted().GatewayID, e.Type)
	if err := conn.FailEvent(e.ID, errors.New("no such API")); err != nil {
		fmt.Println(err)
	}
	// Output:
	// edge api.deployed
}

// startServer starts a server that sends one event.
func startServer() *httptest.Server {
	return httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer conn.Close()
		for _, text := range []string{
			`{"type":"connection.ack","gatewayId":"edge","cursor":"k3f9-1041","resumed":true}`,
			`{"id":"k3f9-1042","type":"api.deployed","payload":{"apiId":"weather"}}`,
		} {
			_, _ = conn.Write(frame.Append(nil, frame.OpText, []byte(text)))
		}
		for b := make([]byte, 1024); err == nil; { // until the client has gone
			_, err = conn.Read(b)
			_, _ = conn.Write(frame.AppendClose(nil, frame.CloseNormal, ""))
		}
	}))
}

func url(s *httptest.Server) string { return strings.Replace(s.URL, "https", "wss", 1) }

func roots(s *httptest.Server) *x509.CertPool {
	return s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
}
