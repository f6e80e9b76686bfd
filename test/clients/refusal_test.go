// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"
)

// refusedWith checks the status and the JSON of a refusal, and its Retry-After header if a later
// attempt can succeed.
func refusedWith(t *testing.T, r report, status int, code string) report {
	t.Helper()
	var body struct{ Error, Message string }
	if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
		t.Errorf("the body is not JSON: %v: %q", err, r.Body)
	}
	if r.Status != status || body.Error != code || body.Message == "" || !strings.HasPrefix(r.Headers["content-type"], "application/json") {
		t.Errorf("want %d %s with a message; got %d %q, %q", status, code, r.Status, r.Headers["content-type"], r.Body)
	}
	if status == 429 || status == 503 {
		if s, err := strconv.Atoi(r.Headers["retry-after"]); err != nil || s < 1 || s > 60 {
			t.Errorf("want Retry-After of 1 to 60 seconds; got %q", r.Headers["retry-after"])
		}
	}
	return r
}

// All requests without a valid token get the same response.
func TestUnauthorized(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	eachDriver(t, func(t *testing.T, d driver) {
		g, removed := s.addGateway(t), s.addGateway(t)
		revoked := s.addToken(t, g)
		s.revoke(t, revoked)
		s.removeGateway(t, removed)
		missing := s.dial("")
		missing.APIKey = nil
		inQuery := missing
		inQuery.URL += "?api-key=" + g.Token + "&token=" + g.Token
		cases := []struct {
			name string
			dial dial
		}{
			{"missing", missing},
			{"empty", s.dial("")},
			{"nonsense", s.dial("nonsense")},
			{"a character off", s.dial(g.Token[:len(g.Token)-1] + "!")},
			{"revoked", s.dial(revoked.Token)},
			{"of a removed gateway", s.dial(removed.Token)},
			{"in the query string", inQuery},
		}
		var first *report
		for _, tc := range cases {
			r := unauthorized(t, d.start(t, tc.dial))
			if first == nil {
				first = &r
			}
			if r.Body != first.Body || !maps.Equal(r.Headers, first.Headers) {
				t.Errorf("%s: refused with %v %s; a missing one with %v %s", tc.name, r.Headers, r.Body, first.Headers, first.Body)
			}
		}
		c, _ := s.connect(t, d, g) // the valid token still works
		c.alive()
	})
}

// Invalid upgrade requests, and requests for other paths.
func TestOtherRequests(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	upgrade := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "8",
	}
	cases := []struct {
		name, method, path string
		headers            map[string]string
		status             int
		code               string
		answers            map[string]string // headers
	}{
		{"POST to connect", "POST", connectPath, nil, 405, "method_not_allowed", map[string]string{"allow": "GET"}},
		{"no upgrade", "GET", connectPath, nil, 426, "upgrade_required", map[string]string{"sec-websocket-version": "13", "upgrade": "websocket"}},
		{"version 8", "GET", connectPath, upgrade, 426, "upgrade_required", map[string]string{"sec-websocket-version": "13"}},
		{"the manifest", "POST", "/api/internal/v1/gateways/g/manifest", nil, 503, "unavailable", nil},
		{"an API", "GET", "/api/internal/v1/apis/42", nil, 503, "unavailable", nil},
		{"beside connect", "GET", connectPath + "ed", nil, 503, "unavailable", nil},
		{"the root", "GET", "/", nil, 404, "not_found", nil},
		{"another version", "GET", "/api/internal/v2/apis/42", nil, 404, "not_found", nil},
		{"the internal route's", "GET", "/metrics", nil, 404, "not_found", nil},
	}
	eachDriver(t, func(t *testing.T, d driver) {
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				asked := dial{URL: "https://" + s.gateways + tc.path, Method: tc.method, Headers: tc.headers, CA: s.ca}
				if tc.method == "POST" {
					asked.Body = `{"a":1}`
				}
				r := refusedWith(t, d.start(t, asked).expect("response"), tc.status, tc.code)
				for name, want := range tc.answers {
					if got := r.Headers[name]; got != want {
						t.Errorf("want %s: %s; got %q", name, want, got)
					}
				}
			})
		}
	})
}

// Invalid upgrades are refused as other requests are.
func TestRefusedUpgrades(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	cases := []struct {
		name, path string
		headers    map[string]string
		status     int
		code       string
	}{
		{"another path", "/ws", nil, 503, "unavailable"}, // a 404 would make a real gateway exit
		{"the platform's path", "/api/internal/v1/ws", nil, 503, "unavailable"},
		{"over 8 KiB of headers", connectPath, map[string]string{"X-Long": strings.Repeat("x", 8<<10)}, 400, "bad_request"},
	}
	eachDriver(t, func(t *testing.T, d driver) {
		g := s.addGateway(t)
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				asked := s.dial(g.Token)
				asked.URL, asked.Headers = "wss://"+s.gateways+tc.path, tc.headers
				refusedWith(t, d.start(t, asked).expect("refused"), tc.status, tc.code)
			})
		}
	})
}

func TestRateLimit(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		s := startServer(t, "--rate-limit", "2")
		g := s.addGateway(t)
		first, _ := s.connect(t, d, g)
		unauthorized(t, d.start(t, s.dial("nonsense")))
		unauthorized(t, d.start(t, s.dial("more nonsense")))
		refusedWith(t, d.start(t, s.dial("still nonsense")).expect("refused"), 429, "rate_limited")
		s.connect(t, d, g) // a gateway behind the same address is not locked out
		first.gets(s, g)
	})
}

// A full node refuses before the upgrade, and accepts again after a connection has closed.
func TestCapacity(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		s := startServer(t, "--rate-limit", "0", "--max-connections", "1")
		g := s.addGateway(t)
		first, _ := s.connect(t, d, g)
		refusedWith(t, d.start(t, s.dial(g.Token)).expect("refused"), 503, "capacity_exceeded")
		first.gets(s, g)
		first.do(command{Close: 1000})
		first.expect("close")
		for deadline := time.Now().Add(timeout); ; {
			c := d.start(t, s.dial(g.Token))
			r := c.next()
			if r.Event == "open" {
				break
			}
			refusedWith(t, r, 503, "capacity_exceeded")
			if time.Now().After(deadline) {
				t.Fatal("the node is still full after a connection was closed")
			}
		}
	})
}
