// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"io"
	"net/http"
	"strings"
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

// No connection to the platform changes its protocol: a WebSocket upgrade is refused, and
// a request for another protocol arrives as an ordinary one.
func TestPlatformGetsNoUpgrade(t *testing.T) {
	for _, f := range forms {
		platform := startRawPlatform(t)
		cfg := config(t)
		f.change(&cfg)
		cfg.PlatformURL = "http://" + platform.ln.Addr().String()
		s := start(t, cfg)
		for _, tt := range []struct {
			request string
			status  int
		}{
			{"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 503},
			{"GET /h2c HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", 200},
			{"POST /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n", 200},
		} {
			c := s.dialRaw(f)
			_, _ = io.WriteString(c, tt.request)
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != tt.status {
				t.Errorf("%s: %q: %v, %v", f.name, tt.request, resp, err)
			}
			for _, got := range platform.take() {
				if tt.status != 200 || strings.Contains(string(got), "Upgrade") {
					t.Errorf("%s: %q: the platform got %q", f.name, tt.request, got)
				}
			}
			c.Close()
		}
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
