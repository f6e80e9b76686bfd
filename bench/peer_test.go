// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/frame"
)

// script starts a server that calls do with a connection after its upgrade, and then closes it.
func script(t *testing.T, do func(net.Conn, *bufio.Reader)) Target {
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
			t.Errorf("cannot read the upgrade request: %v", err)
			return
		}
		do(nc, in)
	}()
	t.Cleanup(func() {
		ln.Close()
		<-ended
	})
	return Target{Gateways: ln.Addr().String()}
}

// someGateway is the gateway of the tests.
var someGateway = &gateway{Token: "token", number: 3}

const accepts = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + upgradeAnswer + "\r\n\r\n"

const ack = `{"type":"connection.ack","gatewayId":"g"}`

// greeting is what a server sends before the first event.
var greeting = accepts + text(ack)

// text returns messages as the server's frames.
func text(messages ...string) string {
	var b []byte
	for _, m := range messages {
		b = frame.Append(b, frame.OpText, []byte(m))
	}
	return string(b)
}

// numbered returns event n as a gateway receives it.
func numbered(n int) string {
	return string(received(fmt.Appendf(nil, `{"n":%d,"sent":1,"to":3,"pad":""}`, n)))
}

func TestDialPeerRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, answer, want string
	}{
		{"a refusal", "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"error\":\"draining\",\"message\":\"come back\"}", `503 draining: "come back"`},
		{"another key's answer", "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n", "Sec-WebSocket-Accept"},
		{"a refusal by a proxy", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\ngone", `502 : "gone"`},
		{"no HTTP", "SSH-2.0\r\n\r\n", "not an HTTP response"},
		{"an endless answer", "HTTP/1.1 101 " + strings.Repeat("x", readBuffer), "longer than"},
		{"no ack", accepts, "no connection.ack"},
		{"an event before the ack", accepts + text(numbered(1), ack), "must be connection.ack"},
		{"no WebSocket", accepts + "\xff\x01x", "reserved"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target := script(t, func(nc net.Conn, _ *bufio.Reader) { _, _ = io.WriteString(nc, tt.answer) })
			p, err := dialPeer(t.Context(), target, someGateway)
			if err == nil {
				p.reset()
				t.Fatal("connected")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want an error with %q", err, tt.want)
			}
		})
	}
}

func TestPeerReceives(t *testing.T) {
	closing := string(frame.AppendClose(nil, frame.CloseNormal, "done"))
	for _, tt := range []struct {
		name   string
		sent   string
		want   string // part of run's error
		events int
	}{
		{"events in order", text(numbered(1), numbered(2), numbered(9)) + closing, "1000 done", 3},
		{"nothing", closing, "1000 done", 0},
		{"a duplicate", text(numbered(1), numbered(1)), "duplicate", 1},
		{"out of order", text(numbered(2), numbered(1)), "out of order", 1},
		{"another gateway's", text(strings.Replace(numbered(1), `"to":3`, `"to":4`, 1)), "for gateway 4 arrived at gateway 3", 0},
		{"event for all", text(strings.Replace(numbered(1), `"to":3`, `"to":0`, 1)) + closing, "1000 done", 1},
		{"another message", text(`{"type":"resync.required"}`), "resync.required", 0},
		{"an end without a close frame", text(numbered(1)), "EOF", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dialed := make(chan struct{})
			p, err := dialPeer(t.Context(), script(t, func(nc net.Conn, _ *bufio.Reader) {
				_, _ = io.WriteString(nc, greeting)
				<-dialed
				_, _ = io.WriteString(nc, tt.sent)
			}), someGateway)
			close(dialed)
			if err != nil {
				t.Fatal(err)
			}
			defer p.reset()
			events := 0
			err = p.run(func(stamp) error { events++; return nil })
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want an error with %q", err, tt.want)
			}
			if events != tt.events {
				t.Errorf("%d events; want %d", events, tt.events)
			}
		})
	}
}

func TestPeerAnswersPing(t *testing.T) {
	dialed := make(chan struct{})
	answer := make(chan frame.Message, 1)
	p, err := dialPeer(t.Context(), script(t, func(nc net.Conn, in *bufio.Reader) {
		_, _ = io.WriteString(nc, greeting)
		<-dialed
		_, _ = nc.Write(frame.Append(nil, frame.OpPing, []byte("there?")))
		answer <- readMessage(t, in)
	}), someGateway)
	close(dialed)
	if err != nil {
		t.Fatal(err)
	}
	defer p.reset()
	_ = p.run(func(stamp) error { return nil }) // until the server closes
	if m := <-answer; m.Op != frame.OpPong || string(m.Payload) != "there?" {
		t.Errorf("answer %v %q; want a pong with the ping's payload", m.Op, m.Payload)
	}
}

// readMessage reads one message of a client.
func readMessage(t *testing.T, in *bufio.Reader) frame.Message {
	var d frame.Decoder
	for {
		b := make([]byte, 1)
		if _, err := in.Read(b); err != nil {
			t.Errorf("no message: %v", err)
			return frame.Message{}
		}
		m, _, err := d.Next(b, maxMessage)
		if err != nil {
			t.Errorf("no message: %v", err)
			return frame.Message{}
		}
		if m.Op != 0 {
			return m
		}
	}
}
