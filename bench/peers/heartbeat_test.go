// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gatecast/gatecast/bench/peers/hub"

	"github.com/gobwas/ws"
)

// heartbeats are the servers with a heartbeat like gatecast's. The others do not use a WebSocket
// library.
var heartbeats = []string{"gorilla", "coder", "gws", "nbio", "gobwas", "centrifuge"}

// Each server sends pings, and ends a connection that does not answer: that is a part of its cost.
func TestHeartbeat(t *testing.T) {
	for _, name := range heartbeats {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			skipRacy(t, name)
			c := connect(t, libraries[name]())
			for pings := 0; pings < 3; {
				op, payload, err := readFrame(c)
				if err != nil {
					t.Fatalf("after %d pings that were answered: %v", pings, err)
				}
				if op == ws.OpPing {
					pings++
					if err := ws.WriteFrame(c, ws.MaskFrame(ws.NewPongFrame(payload))); err != nil {
						t.Fatal(err)
					}
				}
			}
			waitForEnd(t, c)
		})
	}
}

// connect starts the server of a library and connects to it as a gateway. It does not stop the
// server, because some libraries fail when their listener closes.
func connect(t *testing.T, l hub.Library) net.Conn {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := hub.New(l)
	// Keep the proportion: centrifuge never times out if a pong can take longer than the ping
	// interval.
	h.PingInterval, h.Timeout = 600*time.Millisecond, time.Second
	id, token := h.Register()
	go func() { _ = l.Serve(ln, nil, h) }()
	d := ws.Dialer{Header: ws.HandshakeHeaderHTTP(http.Header{"Api-Key": {token}})}
	c, early, _, err := d.Dial(t.Context(), "ws://"+ln.Addr().String()+"/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var ack []byte
	if early != nil { // the ack arrived with the response
		ack, _ = early.Peek(early.Buffered())
	} else {
		if _, ack, err = readFrame(c); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Contains(ack, []byte(id)) {
		t.Fatalf("the ack of gateway %s is %q", id, ack)
	}
	return c
}

// readFrame reads a small frame of a server.
func readFrame(c net.Conn) (op ws.OpCode, payload []byte, err error) {
	header, err := ws.ReadHeader(c)
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, header.Length)
	_, err = io.ReadFull(c, payload)
	return header.OpCode, payload, err
}

// waitForEnd reads until the server ends the connection. It answers nothing.
func waitForEnd(t *testing.T, c net.Conn) {
	for {
		_, _, err := readFrame(c)
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Fatal("a peer that does not answer is still connected")
		}
		if err != nil {
			return
		}
	}
}
