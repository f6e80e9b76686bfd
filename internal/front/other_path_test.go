// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// A lockedBuffer is a buffer that a logger writes to and a test reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A WebSocket upgrade on a path that is not a connect path is refused and logged, with
// and without a platform, also on a connection that has carried other requests. The
// platform does not see it.
func TestUpgradeOnOtherPath(t *testing.T) {
	platform := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(strings.ToLower(r.Header.Get("Upgrade")), "websocket") {
			t.Errorf("the platform got an upgrade of %s", r.URL.Path)
		}
		_, _ = io.WriteString(w, "platform")
	})
	for name, handler := range map[string]http.Handler{"no platform": nil, "platform": platform} {
		t.Run(name, func(t *testing.T) {
			var logged lockedBuffer
			h := newTestFront(t, true, func(c *Config) {
				c.Platform = handler
				c.Logger = slog.New(slog.NewTextHandler(&logged, nil))
			})
			const other = "GET /api/v2/connect?secret=1 HTTP/1.1"
			requests := []string{
				upgradeWith("", other),
				upgradeWith("", other, "Connection", "", "Upgrade", "h2c, WebSocket"),
				upgradeWith("", "GET "+ConnectPath+"/ HTTP/1.1"),
				upgradeWith("", "GET /health HTTP/1.1"),
			}
			for _, request := range requests {
				resp, body := h.request(request)
				checkRefusal(t, resp, body, 503, "unavailable")
				if !strings.Contains(body, "--connect-path") || resp.Header.Get("Retry-After") == "" || !resp.Close {
					t.Errorf("%v %s", resp.Header, body)
				}
			}
			c := h.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
			if resp, _ := h.response(c); resp.StatusCode != 200 {
				t.Fatal(resp.Status)
			}
			if _, err := io.WriteString(c, requests[0]); err != nil {
				t.Fatal(err)
			}
			resp, body := h.response(c)
			checkRefusal(t, resp, body, 503, "unavailable")
			if n := h.result("other_path"); n != float64(len(requests)+1) {
				t.Errorf("counted %v", n)
			}
			text := logged.String()
			if !strings.Contains(text, "path=/api/v2/connect ") || !strings.Contains(text, "--connect-path") || strings.Contains(text, "secret") {
				t.Errorf("logged %s", text)
			}
			// A request that is no WebSocket upgrade is not affected.
			if resp, _ := h.request("POST /x HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"); (resp.StatusCode == 200) != (handler != nil) {
				t.Errorf("h2c: %s", resp.Status)
			}
		})
	}
}

// The connect paths replace the default.
func TestConnectPaths(t *testing.T) {
	h := newTestFront(t, true, func(c *Config) { c.ConnectPaths = []string{"/ws", "/api/v2/connect"} })
	for _, path := range h.cfg.ConnectPaths {
		h.admit("", "GET "+path+"?since=7-42 HTTP/1.1")
	}
	resp, body := h.request(upgradeWith())
	checkRefusal(t, resp, body, 503, "unavailable")
	resp, body = h.request("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
	checkRefusal(t, resp, body, 426, "upgrade_required")
}
