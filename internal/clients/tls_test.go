// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"net"
	"strings"
	"testing"
)

// Whoever trusts the certificate that the server made can connect, by each of its
// names; nobody else.
func TestTrust(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	_, port, err := net.SplitHostPort(s.gateways)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, host string
		trusts     bool
		insecure   bool
		want       string
	}{
		{"by address", "127.0.0.1", true, false, "open"},
		{"by name", "localhost", true, false, "open"},
		{"by another address", "127.0.0.2", true, false, "error"},
		{"unknown authority", "127.0.0.1", false, false, "error"},
		{"unverified", "127.0.0.1", false, true, "open"},
	}
	eachDriver(t, func(t *testing.T, d driver) {
		g := s.addGateway(t)
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				how := s.dial(g.Token)
				how.URL = "wss://" + net.JoinHostPort(tc.host, port) + connectPath
				how.Insecure = tc.insecure
				if !tc.trusts {
					how.CA = ""
				}
				r := d.start(t, how).expect(tc.want)
				if tc.want == "error" && !strings.Contains(strings.ToLower(r.Message), "certificate") && !strings.Contains(r.Message, "altnames") {
					t.Errorf("want a failed verification; got %q", r.Message)
				}
			})
		}
	})
}

// Both versions of TLS carry events, large ones, pongs and goodbyes.
func TestVersions(t *testing.T) {
	s := startServer(t, "--rate-limit", "0", "--ping-interval", "1", "--connection-timeout", "3")
	eachDriver(t, func(t *testing.T, d driver) {
		g := s.addGateway(t)
		for _, version := range []string{"1.2", "1.3"} {
			t.Run(version, func(t *testing.T) {
				how := s.dial(g.Token)
				how.MaxTLS = version
				c := d.start(t, how)
				if open := c.expect("open"); open.TLS != "TLSv"+version {
					t.Errorf("want TLS %s; got %s", version, open.TLS)
				}
				c.expect("message")
				large := strings.Repeat("y", 300_000)
				s.publish(t, draft{GatewayID: g.ID, Type: "api.deployed", Payload: large})
				if e := c.event(); string(e.Payload) != `"`+large+`"` {
					t.Errorf("a large event came as %d other bytes", len(e.Payload))
				}
				for range 2 {
					c.expect("ping")
				}
				c.alive()
				c.do(command{Close: 4000})
				if bye := c.expect("close"); bye.Code != 4000 {
					t.Errorf("want the code back; got %d %q", bye.Code, bye.Reason)
				}
			})
		}
	})
}

func TestHealth(t *testing.T) {
	s := startServer(t)
	eachDriver(t, func(t *testing.T, d driver) {
		for range 20 { // more than the limit for connections: it is none of them
			r := d.start(t, dial{URL: "https://" + s.gateways + "/health", Method: "GET", CA: s.ca}).expect("response")
			if r.Status != 200 || r.Body != `{"status":"ok"}` {
				t.Fatalf("want 200 and status ok; got %d %q", r.Status, r.Body)
			}
		}
	})
}
