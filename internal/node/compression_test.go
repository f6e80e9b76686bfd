// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// deflating connects as a gateway that offers permessage-deflate.
func (s *system) deflating(token, since string) *replica {
	s.t.Helper()
	s.dispatched()
	c, resp, err := websocket.Dial(s.t.Context(), s.url(), &websocket.DialOptions{
		HTTPHeader:           http.Header{"api-key": {token}, "Last-Event-ID": {since}},
		HTTPClient:           &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}},
		CompressionMode:      websocket.CompressionNoContextTakeover,
		CompressionThreshold: 1,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	on := strings.HasPrefix(resp.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	if on != s.cfg.Compression {
		s.t.Fatalf("negotiated %q", resp.Header.Get("Sec-WebSocket-Extensions"))
	}
	c.SetReadLimit(4 << 20)
	s.t.Cleanup(func() { c.CloseNow() })
	r := &replica{described: described{c, s.t}}
	r.ack = r.next()
	return r
}

// Events, replays and acks of gateways with and without the extension.
func TestCompression(t *testing.T) {
	for _, plaintext := range []bool{false, true} {
		for _, on := range []bool{false, true} {
			t.Run(fmt.Sprintf("plaintext=%v/on=%v", plaintext, on), func(t *testing.T) {
				cfg := config(t)
				cfg.Plaintext, cfg.Compression = plaintext, on
				s := start(t, cfg)
				token, _ := s.gateway("g")
				big := `{"pad":"` + strings.Repeat("weather ", 300) + `"}`
				s.publish("g", big) // before anybody could take it compressed
				plain, deflating := s.connect(token), s.deflating(token, "")
				first := s.publish("g", big)
				ids := []string{first, s.publish("g", `"small"`), s.publish("g", big)}
				plain.expect(ids...)
				deflating.expect(ids...)
				s.deflating(token, first).expect(ids[1:]...)
				s.resume(token, first).expect(ids[1:]...)
				want := 0.0
				if on {
					want = 2 // each big one once, not once a connection
				}
				if n := testutil.ToFloat64(s.counts.EventsCompressed); n != want {
					t.Errorf("%v events were compressed, want %v", n, want)
				}
				ack := fmt.Sprintf(`{"type":"event.ack","id":%q,"status":"failed","error":%q}`, ids[2], strings.Repeat("no ", 200))
				if err := deflating.Write(context.Background(), websocket.MessageText, []byte(ack)); err != nil {
					t.Fatal(err)
				}
				if err := deflating.Ping(deflating.CloseRead(context.Background())); err != nil {
					t.Errorf("after a compressed ack: %v", err)
				}
			})
		}
	}
}

// Nobody compresses when nobody takes it, also after those who did are gone.
func TestCompressionForNobody(t *testing.T) {
	cfg := config(t)
	cfg.Compression = true
	s := start(t, cfg)
	token, _ := s.gateway("g")
	big := `"` + strings.Repeat("weather ", 300) + `"`
	plain := s.connect(token)
	plain.expect(s.publish("g", big))
	d := s.deflating(token, "")
	d.Close(websocket.StatusNormalClosure, "")
	eventually(t, "nobody takes compressed messages", func() bool { return !s.webSocket.Deflating() })
	plain.expect(s.publish("g", big))
	if n := testutil.ToFloat64(s.counts.EventsCompressed); n != 0 {
		t.Errorf("%v events were compressed for nobody", n)
	}
}

// A message that inflates beyond the bound ends its connection with 1009.
func TestCompressionBomb(t *testing.T) {
	cfg := config(t)
	cfg.Compression = true
	s := start(t, cfg)
	token, _ := s.gateway("g")
	d := s.deflating(token, "")
	if err := d.Conn.Write(context.Background(), websocket.MessageText, []byte(strings.Repeat(" ", 8<<20))); err != nil {
		t.Fatal(err)
	}
	if code := d.closed(); code != 1009 {
		t.Errorf("code %d, want 1009", code)
	}
}
