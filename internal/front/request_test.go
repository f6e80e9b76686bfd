// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"testing"
	"time"
)

// Connection and Upgrade are lists, over any number of lines and in any case (RFC 9110
// sections 5.3 and 7.8).
func TestUpgradeLists(t *testing.T) {
	h := newTestFront(t, false, nil)
	for _, tt := range []struct {
		connection, upgrade string
		status              int
	}{
		{"Upgrade", "websocket", 101},
		{"uPGRADE", "WebSocket", 101},
		{"keep-alive\r\nConnection: Upgrade", "websocket", 101},
		{"Upgrade\r\nConnection: keep-alive", "websocket", 101},
		{"keep-alive, Upgrade", "websocket", 101},
		{",\t,Upgrade ,,", ",\twebsocket ,", 101},
		{"keep-alive,Upgrade,HTTP2-Settings", "h2c,websocket", 101},
		{"Upgrade", "websocket, h2c", 101},
		{"Upgrade", "h2c\r\nUpgrade: TLS/1.3, foo/2\r\nupgrade:\twebsocket\t", 101},
		{"upgrade\r\nCONNECTION: upgrade", "websocket, websocket", 101},
		{"Upgrade", "h2c", 426},
		{"Upgrade", "websocket2", 426},
		{"Upgrade", "websocket/13", 426},
		{"Upgrade", "web socket", 426},
		{"Upgrade", "\"websocket\"", 426},
		{"Upgrade", "websocket, a b", 400},
		{"Upgrade", "websocket; q=1", 426},
		{"keep-alive", "websocket", 400},
		{"Upgraded", "websocket", 400},
		{"close, a b, Upgrade", "websocket", 400},
		{"Upgrade;x", "websocket", 400},
	} {
		request := upgradeWith("Connection", tt.connection, "Upgrade", tt.upgrade)
		if tt.status != 101 {
			if resp, _ := h.request(request); resp.StatusCode != tt.status {
				t.Errorf("%q and %q: %d, want %d", tt.connection, tt.upgrade, resp.StatusCode, tt.status)
			}
			continue
		}
		r, resp := h.admit("Connection", tt.connection, "Upgrade", tt.upgrade)
		if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("Connection") != "Upgrade" {
			t.Errorf("%q and %q: %v", tt.connection, tt.upgrade, resp)
		}
		r.Closed()
	}
}

// Versions of HTTP/1 above 1.1 count as 1.1 (RFC 9110 section 2.5). Others are refused.
func TestVersions(t *testing.T) {
	h := newTestFront(t, false, nil)
	for version, status := range map[string]int{
		"HTTP/1.1": 101, "HTTP/1.2": 101, "HTTP/1.9": 101, "HTTP/1.0": 400, "HTTP/2.0": 505, "HTTP/0.9": 505,
		"HTTP/1.:": 400, "HTTP/1.10": 400, "HTTP/01.1": 400, "HTTP/1.1 ": 400, "HTTP/1": 400, "HTTP/1.": 400, "HTTP/+1.1": 400, "HTTP/1.１": 400, "http/1.1": 400,
	} {
		request := upgradeWith("", "GET "+ConnectPath+" "+version)
		if status == 101 {
			r, _ := h.admit("", "GET "+ConnectPath+" "+version)
			r.Closed()
		} else if resp, body := h.request(request); resp.StatusCode != status {
			t.Errorf("%q: %d %s, want %d", version, resp.StatusCode, body, status)
		}
	}
}

// Balancers usually keep an idle connection for 60 s. This side must not close it first.
func TestKeepAliveTimeout(t *testing.T) {
	h := newTestFront(t, false, nil)
	if idle := h.http.server.IdleTimeout; idle < 75*time.Second {
		t.Errorf("a connection can be idle for %v", idle)
	}
}
