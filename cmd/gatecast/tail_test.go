// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/frame"

	"github.com/gobwas/ws"
)

const tailedEvent = `{"id":"k3f9-501","type":"api.deployed","payload":{}}`

// serveTail starts a server that refuses the position and sends an event. It tells
// what it was asked with, and what it hears first.
func serveTail(t *testing.T, heard chan<- string, asked chan<- http.Header) *httptest.Server {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		defer conn.Close()
		for _, text := range []string{
			`{"type":"connection.ack","gatewayId":"eu","connectionId":"c-1","cursor":"k3f9-500","resumed":false}`,
			`{"type":"resync.required","reason":"not_retained","cursor":"k3f9-500"}`,
			tailedEvent,
		} {
			_, _ = conn.Write(frame.Append(nil, frame.OpText, []byte(text)))
		}
		h, err := ws.ReadHeader(conn)
		if err != nil || h.Length > 125 {
			t.Errorf("read: %+v, %v", h, err)
			return
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(conn, payload); err != nil {
			t.Errorf("read: %v", err)
		}
		if ws.Cipher(payload, h.Mask, 0); h.OpCode == ws.OpClose {
			heard <- "close"
		} else {
			heard <- string(payload)
		}
		_, _ = conn.Write(frame.AppendClose(nil, frame.CloseNormal, ""))
	}))
	t.Cleanup(srv.Close)
	return srv
}

func TestTailFlags(t *testing.T) {
	for _, c := range []struct {
		name                 string
		flags                tailCmd
		since, replay, hears string
	}{
		{"acks nothing by default", tailCmd{Since: "k3f9-7"}, "k3f9-7", "", "close"},
		{"latest, acked", tailCmd{Since: "k3f9-7", Latest: true, Ack: true}, "k3f9-7", "latest", `{"type":"event.ack","id":"k3f9-501"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			heard, asked := make(chan string, 1), make(chan http.Header, 1)
			srv := serveTail(t, heard, asked)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			lines, out := io.Pipe()
			states := make(lineWriter, 100)
			tail := c.flags
			tail.URL, tail.Token, tail.Insecure = strings.Replace(srv.URL, "https", "wss", 1), "t", true
			ended := make(chan error, 1)
			go func() { ended <- tail.Run(ctx, world{nil, out, states}) }()
			if h := <-asked; h.Get("Last-Event-ID") != c.since || h.Get("Replay") != c.replay {
				t.Errorf("asked with %v", h)
			}
			if events := bufio.NewScanner(lines); !events.Scan() || events.Text() != tailedEvent {
				t.Errorf("standard output %q, want the event alone", events.Text())
			}
			if !c.flags.Ack {
				stop()
			}
			if got := <-heard; got != c.hears {
				t.Errorf("heard %s, want %s", got, c.hears)
			}
			stop()
			if err := <-ended; err != nil {
				t.Errorf("tail ends with %v", err)
			}
			<-states // connected
			if line := <-states; !strings.Contains(line, "not_retained") || !strings.Contains(line, "k3f9-500") {
				t.Errorf("standard error %q, want a line about the resync", line)
			}
		})
	}
}
