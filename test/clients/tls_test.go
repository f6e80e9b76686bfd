// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"strings"
	"testing"
)

// A client that trusts the server's own certificate can connect by each name in it; others cannot.
func TestTrust(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	elsewhere := startServer(t, "--rate-limit", "0", "--listen", "127.0.0.2:0") // an address that is not in the certificate
	named := strings.Replace(s.gateways, "127.0.0.1", "localhost", 1)
	cases := []struct {
		name, address, ca string
		insecure          bool
		want              string
	}{
		{"by address", s.gateways, s.ca, false, "open"},
		{"by name", named, s.ca, false, "open"},
		{"unverified", s.gateways, "", true, "open"},
		{"unknown authority", s.gateways, "", false, "error"},
		{"another server's certificate", s.gateways, elsewhere.ca, false, "error"},
		{"not its address", elsewhere.gateways, elsewhere.ca, false, "error"},
	}
	eachDriver(t, func(t *testing.T, d driver) {
		g := s.addGateway(t)
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				how := s.dial(g.Token)
				how.URL, how.CA, how.Insecure = "wss://"+tc.address+connectPath, tc.ca, tc.insecure
				r := d.start(t, how).expect(tc.want)
				if tc.want == "error" && !aboutCertificate(r.Message) {
					t.Errorf("want a failed verification; got %q", r.Message)
				}
			})
		}
	})
}

// aboutCertificate reports whether a driver's error is that it does not trust the server.
func aboutCertificate(message string) bool {
	message = strings.ToLower(message)
	return strings.Contains(message, "certificate") || strings.Contains(message, "altnames")
}

// Both TLS versions carry events, large events, pongs and close frames.
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
					t.Errorf("a large event arrived with %d other bytes", len(e.Payload))
				}
				for range 2 {
					c.expect("ping")
				}
				c.alive()
				c.do(command{Close: 4000})
				if closed := c.expect("close"); closed.Code != 4000 {
					t.Errorf("want the same code; got %d %q", closed.Code, closed.Reason)
				}
			})
		}
	})
}

func TestHealth(t *testing.T) {
	s := startServer(t)
	eachDriver(t, func(t *testing.T, d driver) {
		for range 12 { // more than the limit of connections, which ordinary requests do not count for
			r := d.start(t, dial{URL: "https://" + s.gateways + "/health", Method: "GET", CA: s.ca}).expect("response")
			if r.Status != 200 || r.Body != `{"status":"ok"}` {
				t.Fatalf("want 200 and status ok; got %d %q", r.Status, r.Body)
			}
		}
	})
}
