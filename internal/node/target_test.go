// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// The platform sees the path and the query that were sent, byte by byte, below the
// path of its own URL.
func TestPlatformSeesTheTarget(t *testing.T) {
	for _, base := range []string{"", "/", "/base", "/ba%2Fse/"} {
		platform := startRawPlatform(t)
		cfg := config(t)
		cfg.Plaintext = true
		cfg.PlatformURL = "http://" + platform.ln.Addr().String() + base
		s := start(t, cfg)
		prefix := strings.TrimSuffix(base, "/")
		for _, tt := range []struct{ method, target, want string }{
			{"GET", "/a?a=1;b=2", "/a?a=1;b=2"},
			{"GET", "/a?x=%zz&y=%", "/a?x=%zz&y=%"},
			{"GET", "/a?", "/a?"},
			{"GET", "/a??", "/a??"},
			{"GET", "/a?&&=&a", "/a?&&=&a"},
			{"GET", "/a?b=c+d%20e%2B", "/a?b=c+d%20e%2B"},
			{"GET", "/a?\"<>\\^`{|}'", "/a?\"<>\\^`{|}'"},
			{"GET", "/a?\xe4\xff", "/a?\xe4\xff"},
			{"GET", "/%2F%2f%41?x", "/%2F%2f%41?x"},
			{"GET", "/a/../b/./c", "/a/../b/./c"},
			{"GET", "/a//b///", "/a//b///"},
			{"GET", "//a/b?c", "//a/b?c"},
			{"GET", "///", "///"},
			{"GET", "//%2F[x]", "//%2F[x]"},
			{"GET", "/a;b=c,d:e@f!$&'()*+", "/a;b=c,d:e@f!$&'()*+"},
			{"GET", "/a\"<>\\^`{|}", "/a\"<>\\^`{|}"},
			{"GET", "/a#b?c#d", "/a#b?c#d"},
			{"GET", "/\xc3\xa4", "/\xc3\xa4"},
			{"GET", "/", "/"},
			{"GET", "/:80", "/:80"},
			{"GET", "http://other.test", "/"},
			{"GET", "http://other.test?x=;", "/?x=;"},
			{"GET", "http://other.test/a//b%2F?", "/a//b%2F?"},
			{"GET", "HTTPS://other.test:1//a", "//a"},
			{"OPTIONS", "/a?;", "/a?;"},
			{"OPTIONS", "*", "*"},
			{"OPTIONS", "http://other.test", "*"},
			{"DELETE", "/health?x=;", "/health?x=;"},
		} {
			t.Run(base+" "+tt.method+" "+tt.target, func(t *testing.T) {
				c := s.dialRaw(forms[0])
				_, _ = io.WriteString(c, tt.method+" "+tt.target+" HTTP/1.1\r\nHost: h\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil || resp.StatusCode != 200 {
					t.Fatalf("%v, %v", resp, err)
				}
				want := tt.want
				if want != "*" {
					want = prefix + want
				}
				got := platform.take()
				if len(got) != 1 || !strings.HasPrefix(string(got[0]), tt.method+" "+want+" HTTP/1.1\r\n") {
					t.Errorf("%q, want %q", got, want)
				}
			})
		}
	}
}

// What cannot be passed on as it is, is refused.
func TestTargetsThatAreRefused(t *testing.T) {
	platform := startRawPlatform(t)
	cfg := config(t)
	cfg.Plaintext = true
	cfg.PlatformURL = "http://" + platform.ln.Addr().String()
	s := start(t, cfg)
	for _, target := range []string{"/%zz", "//a\"b", "*", "http://", "http:///a", "http://me@h/a", "ftp://h/a", "http:a"} {
		c := s.dialRaw(forms[0])
		_, _ = io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: h\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 400 || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v, %v", target, resp, err)
		}
		if got := platform.take(); len(got) > 0 {
			t.Errorf("%s: the platform got %q", target, got)
		}
	}
}

// A connection to the platform's own WebSocket is passed on, with every byte of it;
// no other protocol is.
func TestPlatformChangesTheProtocol(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var heads sync.Map
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				br := bufio.NewReader(c)
				req, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				heads.Store(req.RequestURI, req.Header)
				if req.Header.Get("Upgrade") == "" {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				_, _ = io.Copy(c, br)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); serving.Wait() })
	for _, f := range forms {
		cfg := config(t)
		f.change(&cfg)
		cfg.PlatformURL = "http://" + ln.Addr().String()
		s := start(t, cfg)
		for _, early := range []string{"", "\r\n\r\n\x81\x00GET / HTTP/1.1\r\n"} {
			c := s.dialRaw(f)
			br := bufio.NewReader(c)
			_, _ = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"+early)
			if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 101 {
				t.Fatalf("%s: %v, %v", f.name, resp, err)
			}
			late := "\r\nGET / HTTP/1.1\r\n\x00\xff" + strings.Repeat("x", 100_000)
			go io.WriteString(c, late)
			got := make([]byte, len(early+late))
			if _, err := io.ReadFull(br, got); err != nil || string(got) != early+late {
				t.Errorf("%s: %.60q, %v", f.name, got, err)
			}
			c.Close()
		}
		c := s.dialRaw(f)
		_, _ = io.WriteString(c, "GET /h2c HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
			t.Errorf("h2c: %v, %v", resp, err)
		}
		if h, _ := heads.Load("/h2c"); h == nil || h.(http.Header).Get("Upgrade") != "" {
			t.Errorf("the platform is offered h2c: %v", h)
		}
		c.Close()
		s.drain()
	}
}

// Fields that are about one hop end at it, and the rest goes on as it is (RFC 9110,
// 7.6.1).
func TestFieldsOfOneHop(t *testing.T) {
	platform := startRawPlatform(t)
	cfg := config(t)
	cfg.Plaintext = true
	cfg.PlatformURL = "http://" + platform.ln.Addr().String()
	s := start(t, cfg)
	c := s.dialRaw(forms[0])
	_, _ = io.WriteString(c, "POST /a HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, X-Mine\r\nConnection: x-other,,\r\nX-Mine: 1\r\nX-Other: 2\r\n"+
		"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers, deflate\r\nProxy-Authorization: Basic x\r\n"+
		"api-key: secret\r\nX-Kept: a\r\nX-Kept: b\r\nContent-Length: 3\r\n\r\nabc")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	got := string(platform.take()[0])
	for _, gone := range []string{"X-Mine", "X-Other", "Keep-Alive", "Proxy-", "deflate", "\r\nConnection"} {
		if strings.Contains(got, gone) {
			t.Errorf("%s is passed on: %q", gone, got)
		}
	}
	for _, kept := range []string{"Api-Key: secret\r\n", "X-Kept: a\r\nX-Kept: b\r\n", "\r\nHost: ", "\r\n\r\nabc"} {
		if !strings.Contains(got, kept) {
			t.Errorf("%q is missing: %q", kept, got)
		}
	}
}
