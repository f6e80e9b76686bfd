// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"strings"
	"testing"
)

// Clients with and without permessage-deflate receive the same events of every size, and can send
// messages.
func TestCompression(t *testing.T) {
	s := startServer(t, "--rate-limit", "0", "--compression", "--compression-threshold", "200")
	eachDriver(t, func(t *testing.T, d driver) {
		g := s.addGateway(t)
		offering := d.start(t, s.dial(g.Token))
		if e := offering.next().Extensions; !strings.HasPrefix(e, "permessage-deflate") {
			t.Errorf("negotiated %q", e)
		}
		offering.expect("message") // the ack
		silent := s.dial(g.Token)
		silent.NoCompression = true
		plain := d.start(t, silent)
		if e := plain.next().Extensions; e != "" {
			t.Errorf("negotiated %q without an offer", e)
		}
		plain.expect("message")
		for _, n := range []int{0, 1, 20, 50, 1000, 100_000} {
			payload := strings.Repeat("weather ", n)
			want := s.publish(t, draft{GatewayID: g.ID, Type: "api.deployed", Payload: payload})
			for _, c := range []*client{offering, plain} {
				if e := c.event(); e.ID != want.ID || string(e.Payload) != `"`+payload+`"` {
					t.Fatalf("%d words: got event %s with %d bytes", n, e.ID, e.size)
				}
			}
		}
		for _, c := range []*client{offering, plain} {
			c.do(command{Send: `{"type":"x","pad":"` + strings.Repeat("weather ", 1000) + `"}`})
			c.alive()
		}
		plain.do(command{Send: strings.Repeat(" ", 1<<20)})
		offering.do(command{Send: strings.Repeat(" ", 1<<20)}) // about 1 KB on the wire
		for _, c := range []*client{offering, plain} {
			if code := c.expect("close").Code; code != 1009 {
				t.Errorf("code %d, want 1009", code)
			}
		}
	})
}
