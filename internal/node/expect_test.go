// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A client that is not authorized gets its error before its body is read, and no 100
// Continue.
func TestUnauthorizedBeforeTheBody(t *testing.T) {
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"unauthorized","message":"who are you?"}`)
	}))
	t.Cleanup(platform.Close)
	cfg := config(t)
	cfg.Plaintext = true
	cfg.PlatformURL = platform.URL
	s := start(t, cfg)
	for _, tt := range []struct{ listener, address, path string }{
		{"internal", s.InternalAddr().String(), root + "/events"},
		{"gateways", s.GatewayAddr().String(), root + "/gateways/g/manifest"},
	} {
		for _, length := range []string{"Content-Length: 100", "Content-Length: 1000000000", "Transfer-Encoding: chunked"} {
			for _, expect := range []string{"Expect: 100-continue\r\n", ""} {
				if expect == "" && tt.listener == "gateways" {
					continue // the platform's own to judge, with a body if it wants one
				}
				t.Run(fmt.Sprintf("%s/%s/%s", tt.listener, length, strings.TrimSpace(expect)), func(t *testing.T) {
					c, err := net.Dial("tcp", tt.address)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					_ = c.SetDeadline(time.Now().Add(20 * time.Second))
					_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer wrong\r\n%s%s\r\n\r\n", tt.path, expect, length)
					resp, err := http.ReadResponse(bufio.NewReader(c), nil) // reads a 100, if there is one
					if err != nil {
						t.Fatal(err)
					}
					body, _ := io.ReadAll(resp.Body)
					if resp.StatusCode != 401 || !strings.HasPrefix(string(body), `{"error":"unauthorized","message":`) || !resp.Close {
						t.Errorf("%v %s", resp, body)
					}
				})
			}
		}
	}
}

// Who may, is asked for it.
func TestContinue(t *testing.T) {
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	}))
	t.Cleanup(platform.Close)
	cfg := config(t)
	cfg.Plaintext = true
	cfg.PlatformURL = platform.URL
	s := start(t, cfg)
	s.gateway("g")
	const body = `{"gatewayId":"g","type":"a.b","payload":1}`
	for _, tt := range []struct {
		address, path string
		status        int
	}{
		{s.InternalAddr().String(), root + "/events", 202},
		{s.GatewayAddr().String(), "/echo", 200},
	} {
		c, err := net.Dial("tcp", tt.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", tt.path, s.admin, len(body))
		br := bufio.NewReader(c)
		if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 100 {
			t.Fatalf("%s: %v, %v", tt.path, resp, err)
		}
		_, _ = io.WriteString(c, body)
		if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != tt.status {
			t.Fatalf("%s: %v, %v", tt.path, resp, err)
		}
	}
}

// Plain HTTP to a TLS port gets an error in plain HTTP; garbage does not
// answered so. TLS to a plain port ends at once.
func TestWrongProtocol(t *testing.T) {
	secure := config(t)
	secure.InternalTLSCert, secure.InternalTLSKey = secure.DataDir+"/internal.crt", secure.DataDir+"/internal.key"
	writePair(t, secure.InternalTLSCert, secure.InternalTLSKey)
	plain := config(t)
	plain.Plaintext = true
	proxied := config(t)
	proxied.TrustedProxies = loopback
	tls, notTLS, behind := start(t, secure), start(t, plain), start(t, proxied)
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("r", 32)
	for _, tt := range []struct {
		name, sent string
		answered   bool
	}{
		{"GET", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
		{"GET of HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", true},
		{"an upgrade", upgradeText("token-token-token-token"), true},
		{"DELETE", "DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n", true},
		{"a method of somebody's own", "M-SEARCH * HTTP/1.1\r\nHost: h\r\n\r\n", true},
		{"a POST with a body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", true},
		{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", true},
		{"garbage", "\x80\x9e\x01\x03\x01\x00\x75\x00\x00\x00\x20", false},
		{"zeros", strings.Repeat("\x00", 64), false},
		{"words", "hello there, who are you?\r\n\r\n", false},
	} {
		for address, more := range map[string]string{
			tls.GatewayAddr().String(): "gateways", tls.InternalAddr().String(): "internal", behind.GatewayAddr().String(): "proxied",
		} {
			if tt.name == "words" && more == "internal" {
				continue // five bytes are looked at there
			}
			t.Run(more+"/"+tt.name, func(t *testing.T) {
				got := converse(t, address, tt.sent)
				if answered := strings.HasPrefix(got, "HTTP/1.1 400 Bad Request\r\n"); answered != tt.answered {
					t.Errorf("%q", got)
				}
				for _, part := range []string{`{"error":"bad_request","message":"`, "Connection: close", "application/json"} {
					if tt.answered && !strings.Contains(got, part) {
						t.Errorf("%q, want %q in it", got, part)
					}
				}
			})
		}
	}
	for address, name := range map[string]string{notTLS.GatewayAddr().String(): "gateways", notTLS.InternalAddr().String(): "internal"} {
		t.Run(name, func(t *testing.T) {
			if got := converse(t, address, hello); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
				t.Errorf("%q", got)
			}
		})
	}
}

// converse sends bytes, and reads until the other side has ended.
func converse(t *testing.T, address, sent string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(8 * time.Second)) // less than a request may take
	_, _ = io.WriteString(c, sent)
	got, err := io.ReadAll(c)
	if err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection is still open: %v", err)
	}
	return string(got)
}
