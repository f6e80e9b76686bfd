// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// A rawPlatform keeps what it is sent as it was sent, and answers one request a
// connection.
type rawPlatform struct {
	ln net.Listener
	wg sync.WaitGroup

	mu  sync.Mutex
	got [][]byte
}

func startRawPlatform(t *testing.T) *rawPlatform {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &rawPlatform{ln: ln}
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.wg.Wait()
	})
	return p
}

func (p *rawPlatform) serve(c net.Conn) {
	defer c.Close()
	var raw bytes.Buffer
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &raw)))
	if err != nil {
		return // a connection that was made ahead of need, or whose request broke off
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return
	}
	p.mu.Lock()
	p.got = append(p.got, bytes.Clone(raw.Bytes()))
	p.mu.Unlock()
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}

// take returns what was sent since the last call.
func (p *rawPlatform) take() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// A request whose end two servers could see in different places (RFC 9112 section
// 11.2) does not get to the platform, or gets there with one end.
func TestRequestSmuggling(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	tests := []struct {
		name, request string
		status        int // of the first answer
		passed        bool
	}{
		{"an honest one", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 200, true},
		{"a length and chunks", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, true},
		{"chunks and a length", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, true},
		{"two lengths", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 40\r\n\r\nabc" + smuggled, 400, false},
		{"a list of lengths", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 40\r\n\r\nabc" + smuggled, 400, false},
		{"a length with a sign", "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc" + smuggled, 400, false},
		{"a coding nobody knows", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\nabc" + smuggled, 501, false},
		{"two codings", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + smuggled, 501, false},
		{"a space before the colon", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\nabc" + smuggled, 400, false},
		{"a header that starts with a space", "POST /outer HTTP/1.1\r\nHost: h\r\n Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400, false},
		{"a carriage return in a header", "POST /outer HTTP/1.1\r\nHost: h\r\nX: a\rTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc" + smuggled, 400, false},
		{"a zero byte in a header", "POST /outer HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\nContent-Length: 3\r\n\r\nabc", 400, false},
		{"two hosts", "GET /outer HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", 400, false},
		{"no host", "GET /outer HTTP/1.1\r\n\r\n", 400, false},
		{"a space in the path", "GET /outer HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n", 400, false},
		{"a size of a chunk that overflows", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc", 502, false},
		{"a negative size of a chunk", "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 502, false},
	}
	platform := startRawPlatform(t)
	cfg := config(t)
	cfg.PlatformURL = "http://" + platform.ln.Addr().String()
	s := start(t, cfg)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := tls.Dial("tcp", s.GatewayAddr().String(), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.WriteString(c, tt.request); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			got := platform.take()
			if tt.passed != (len(got) == 1) || len(got) > 1 {
				t.Fatalf("the platform got %d requests: %q", len(got), got)
			}
			for _, raw := range got {
				checkForwarded(t, string(raw))
			}
		})
	}
}

// checkForwarded checks that a request with a body of three bytes has one end.
func checkForwarded(t *testing.T, raw string) {
	t.Helper()
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	length := strings.Contains(head, "\r\nContent-Length: 3")
	chunked := strings.Contains(head, "\r\nTransfer-Encoding: chunked")
	if length == chunked || strings.Count(strings.ToLower(head), "content-length")+strings.Count(strings.ToLower(head), "transfer-encoding") != 1 {
		t.Errorf("want a length or chunks, once:\n%s", raw)
	}
	if want := map[bool]string{true: "abc", false: "3\r\nabc\r\n0\r\n\r\n"}[length]; body != want {
		t.Errorf("the body is %q, want %q", body, want)
	}
}
