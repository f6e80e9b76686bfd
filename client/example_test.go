// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/gatecast/gatecast/client"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A gateway stores its position in a file, so that it misses nothing while it restarts.
func ExampleRun() {
	server := startServer(deployed)
	defer server.Close()
	dir, err := os.MkdirTemp("", "gateway")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	ctx, stop := context.WithCancel(context.Background())
	cursor := client.FileCursor(filepath.Join(dir, "cursor"))
	err = client.Run(ctx, client.Config{
		URL:    serverURL(server),
		Token:  "gc_secret",
		TLS:    serverTLS(server),
		Cursor: cursor,
		Handler: func(_ context.Context, e client.Event) error {
			fmt.Printf("%s %s %s\n", e.ID, e.Type, e.Payload)
			stop() // a real gateway runs until it is stopped
			return nil
		},
		OnResync: func(context.Context, client.Resync) {
			// Fetch the complete state from the platform.
		},
	})
	fmt.Println(err)

	position, err := cursor.Load(context.Background())
	fmt.Println(position, err)
	// Output:
	// k3f9-1042 api.deployed {"apiId":"weather"}
	// context canceled
	// k3f9-1042 <nil>
}

// A Run ends only if reconnecting cannot help. The error contains the reason.
func ExampleRun_refused() {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"unauthorized","message":"the token is not valid"}`)
	}))
	defer server.Close()

	err := client.Run(context.Background(), client.Config{
		URL:     serverURL(server),
		Token:   "gc_secret",
		TLS:     serverTLS(server),
		Handler: func(context.Context, client.Event) error { return nil },
	})
	if refused, ok := errors.AsType[*client.RefusedError](err); ok {
		fmt.Println(refused.Status, refused.Code)
	}
	fmt.Println(err)
	// Output:
	// 401 unauthorized
	// client: not reconnecting: refused with status 401 "unauthorized": "the token is not valid"
}

// A program opens one connection, resumes after an event, and reports a failure.
func ExampleDial() {
	server := startServer(deployed)
	defer server.Close()

	ctx := context.Background()
	conn, err := client.Dial(ctx, client.Config{
		URL:   serverURL(server),
		Token: "gc_secret",
		TLS:   serverTLS(server),
		Since: "k3f9-1041",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	fmt.Println("connected as", conn.Accepted().GatewayID)

	e, err := conn.Next(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.Type)
	if err := conn.FailEvent(e.ID, errors.New("no such API")); err != nil {
		fmt.Println(err)
	}
	// Output:
	// connected as edge
	// api.deployed
}

// When the server closes a connection, the error of Next contains the close code.
func ExampleCloseError() {
	server := startServer(slowConsumer)
	defer server.Close()

	ctx := context.Background()
	conn, err := client.Dial(ctx, client.Config{URL: serverURL(server), Token: "gc_secret", TLS: serverTLS(server)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	_, err = conn.Next(ctx)
	if closed, ok := errors.AsType[*client.CloseError](err); ok && closed.Code == client.CloseTryAgainLater {
		fmt.Println("reconnect and resume:", closed.Reason)
	}
	// Output:
	// reconnect and resume: slow consumer
}

// A handler reports the result of a deployment before it acks the event.
func ExampleAckDeployment() {
	server := startServer(deployed)
	defer server.Close()

	ctx, stop := context.WithCancel(context.Background())
	_ = client.Run(ctx, client.Config{
		URL:   serverURL(server),
		Token: "gc_secret",
		TLS:   serverTLS(server),
		Handler: func(ctx context.Context, e client.Event) error {
			defer stop()
			err := client.AckDeployment(ctx, client.DeploymentAck{DeploymentID: "d-17", Status: "success"})
			fmt.Println(e.Type, err)
			return err
		},
	})
	// Output:
	// api.deployed <nil>
}

// deployed sends an event.
func deployed(conn *serverConn) {
	conn.send(`{"id":"k3f9-1042","type":"api.deployed","payload":{"apiId":"weather"}}`)
}

// slowConsumer closes as a gatecast node does when a gateway reads too slowly.
func slowConsumer(conn *serverConn) {
	body := ws.NewCloseFrameBody(ws.StatusCode(client.CloseTryAgainLater), "slow consumer")
	_ = wsutil.WriteServerMessage(conn, ws.OpClose, body)
}
