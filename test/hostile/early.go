// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"strings"
)

// Attacks before the request: on TCP and the TLS handshake.
var beforeTheRequest = []Attack{
	{Name: "sends nothing", Peers: 600, once: func(_ context.Context, p *peer) (Ending, error) {
		return p.end(), nil
	}},
	{Name: "TLS handshake byte by byte", Peers: 600, once: func(ctx context.Context, p *peer) (Ending, error) {
		return p.whileEnding(func() { trickle(p.tcp, clientHello(ctx)) }), nil
	}},
	{Name: "unfinished handshake", Peers: 100, once: func(ctx context.Context, p *peer) (Ending, error) {
		if _, err := p.tcp.Write(clientHello(ctx)); err != nil {
			return "", err
		}
		// When the server answers, it has computed its signature, which is the cost of a handshake.
		_, err := p.tcp.Read(make([]byte, 1))
		return Stopped, err
	}},
	{Name: "handshake without a request", Peers: 100, once: func(ctx context.Context, p *peer) (Ending, error) {
		return Stopped, p.secure(ctx)
	}},
	{Name: "connects and resets", Peers: 50, once: func(context.Context, *peer) (Ending, error) {
		return Stopped, nil
	}},
	{Name: "no TLS at all", Peers: 50, once: pouring(func() []byte {
		return []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	})},
	{Name: "noise", Peers: 50, once: pouring(func() []byte {
		b := make([]byte, 4<<10)
		_, _ = rand.Read(b) // never fails
		return b
	})},
	{Name: "TLS record of 65,535 bytes", Peers: 50, once: pouring(func() []byte {
		return append([]byte{22, 3, 1, 0xff, 0xff}, make([]byte, 0xffff)...)
	})},
	{Name: "flood of TLS alerts", Peers: 50, once: pouring(func() []byte {
		return bytes.Repeat([]byte{21, 3, 1, 0, 2, 1, 0}, 1000) // warning, close_notify
	})},
	{Name: "empty TLS records", Peers: 50, once: pouring(func() []byte {
		return bytes.Repeat([]byte{22, 3, 1, 0, 0}, 1000)
	})},
}

// pouring returns an attack that only writes.
func pouring(next func() []byte) func(context.Context, *peer) (Ending, error) {
	return func(_ context.Context, p *peer) (Ending, error) {
		return p.whileEnding(func() { pour(p.tcp, next) }), nil
	}
}

// clientHello returns the first record of a handshake.
func clientHello(ctx context.Context) []byte {
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		_ = tls.Client(near, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}).HandshakeContext(ctx) // fails, because the other end closes
		_ = near.Close()
	}()
	b := make([]byte, 4<<10)
	n, _ := far.Read(b)
	return b[:n]
}

// Attacks with the request.
var withTheRequest = []Attack{
	{Name: "request line byte by byte", Peers: 600, once: requesting(func(p *peer) {
		trickle(p.conn, []byte(upgradeRequest(p.target.Token)))
	})},
	{Name: "headers byte by byte", Peers: 600, once: requesting(func(p *peer) {
		line, headers, _ := strings.Cut(upgradeRequest(p.target.Token), "\r\n")
		if _, err := io.WriteString(p.conn, line+"\r\n"); err == nil {
			trickle(p.conn, []byte(headers))
		}
	})},
	{Name: "headers of 64 KiB", Peers: 50, once: requesting(func(p *peer) {
		request := strings.TrimSuffix(upgradeRequest(p.target.Token), "\r\n")
		_, _ = io.WriteString(p.conn, request+"X-Filler: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
	})},
	{Name: "request line without an end", Peers: 50, once: requesting(func(p *peer) {
		pour(p.conn, func() []byte { return bytes.Repeat([]byte("GET "), 1024) })
	})},
	{Name: "HTTP/2", Peers: 50, once: requesting(func(p *peer) {
		_, _ = io.WriteString(p.conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	})},
	{Name: "guesses tokens", Peers: 20, once: requesting(func(p *peer) {
		_, _ = io.WriteString(p.conn, upgradeRequest("gc_"+rand.Text()))
	})},
	{Name: "10,000 requests in a row", Peers: 5, once: requesting(func(p *peer) {
		for range 10_000 {
			if _, err := io.WriteString(p.conn, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
				return
			}
		}
		_, _ = io.WriteString(p.conn, "GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	})},
}

// requesting returns an attack that starts after the TLS handshake.
func requesting(do func(*peer)) func(context.Context, *peer) (Ending, error) {
	return func(ctx context.Context, p *peer) (Ending, error) {
		if err := p.secure(ctx); err != nil {
			return "", err
		}
		return p.whileEnding(func() { do(p) }), nil
	}
}
