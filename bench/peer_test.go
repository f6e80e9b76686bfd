// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatecast/frame"
)

const accepts = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + upgradeAnswer + "\r\n\r\n"

// script starts a server that answers one upgrade with b, then calls then, if
// there is one, and hangs up.
func script(t *testing.T, b []byte, then func(io.Reader)) Target {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		in := bufio.NewReader(nc)
		if _, err := http.ReadRequest(in); err != nil {
			t.Errorf("the upgrade is not a request: %v", err)
			return
		}
		_, _ = nc.Write(b)
		if then != nil {
			then(in)
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-ended
	})
	return Target{Gateways: ln.Addr().String()}
}

func text(messages ...string) (b []byte) {
	for _, m := range messages {
		b = frame.Append(b, frame.OpText, []byte(m))
	}
	return b
}

// numbered returns an event with a number, as a gateway gets it.
func numbered(n int) string {
	return string(received(fmt.Appendf(nil, `{"n":%d,"sent":1,"pad":""}`, n)))
}

const ack = `{"type":"connection.ack","gatewayId":"g"}`

func TestDialPeerRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, answer, want string
	}{
		{"a refusal", "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"error\":\"draining\"}", "draining"},
		{"another key's answer", "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n", "Sec-WebSocket-Accept"},
		{"an endless answer", "HTTP/1.1 101 " + strings.Repeat("x", 2*readBuffer), "longer than"},
		{"no ack", accepts, "no connection.ack"},
		{"an event before the ack", accepts + string(text(numbered(1), ack)), "want connection.ack"},
		{"an event behind the ack", accepts + string(text(ack, numbered(1))), "want connection.ack"},
		{"no WebSocket", accepts + "\xff\xff\xff\xff", "frame"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := dialPeer(t.Context(), script(t, []byte(tt.answer), nil), "token")
			if err == nil {
				p.hangUp()
				t.Fatal("connected")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want it to say %q", err, tt.want)
			}
		})
	}
}

func TestPeerReceives(t *testing.T) {
	goodbye := frame.AppendClose(nil, frame.CloseNormal, "so long")
	for _, tt := range []struct {
		name   string
		send   []byte
		want   string // what run's error says
		events int
	}{
		{"events in order", append(text(numbered(1), numbered(2), numbered(9)), goodbye...), "1000 so long", 3},
		{"nothing", goodbye, "1000 so long", 0},
		{"a duplicate", text(numbered(1), numbered(1)), "duplicate", 1},
		{"out of order", text(numbered(2), numbered(1)), "out of order", 1},
		{"another message", text(`{"type":"resync.required"}`), "resync.required", 0},
		{"an end without goodbye", text(numbered(1)), "EOF", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			go1 := make(chan struct{})
			target := scriptTwo(t, append([]byte(accepts), text(ack)...), go1, tt.send)
			p, err := dialPeer(t.Context(), target, "token")
			if err != nil {
				t.Fatal(err)
			}
			defer p.hangUp()
			close(go1)
			events := 0
			err = p.run(func(stamp) error { events++; return nil })
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want it to say %q", err, tt.want)
			}
			if events != tt.events {
				t.Errorf("%d events; want %d", events, tt.events)
			}
		})
	}
}

func TestPeerAnswersPing(t *testing.T) {
	answers := make(chan frame.Message, 1)
	ping := frame.Append(nil, frame.OpPing, []byte("are you there"))
	greeting := append([]byte(accepts), text(ack)...)
	target := script(t, greeting, nil)
	_ = ping
	_ = answers
	_ = target
	_ = bytes.Equal
	_ = time.Second
}
