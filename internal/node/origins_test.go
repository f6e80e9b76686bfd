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

func TestAllowedOrigins(t *testing.T) {
	for _, tt := range []struct {
		allowed, origin string
		status          int
	}{
		{"", "https://ops.example", 403},
		{"", "null", 403},
		{"", "", 403}, // a header without a value
		{"https://ops.example", "https://ops.example", 101},
		{"https://OPS.example:443", "https://ops.example", 101},
		{"http://ops.example:80", "http://ops.example", 101},
		{"https://ops.example:8443", "https://ops.example:8443", 101},
		{"app://x,https://[2001:db8::1]:1", "https://[2001:db8::1]:1", 101},
		{"https://ops.example", "https://ops.example.evil", 403},
		{"https://ops.example", "https://ops.example:8443", 403},
		{"https://ops.example", "http://ops.example", 403},
		{"https://ops.example", "https://x.ops.example", 403},
		{"https://ops.example", "https://ops.example/", 403},
		{"https://ops.example", "https://ops.example https://evil.example", 403},
		{"https://ops.example", "null", 403},
		{"null", "null", 101},
	} {
		cfg := config(t)
		cfg.Plaintext = true
		if tt.allowed != "" {
			cfg.AllowedOrigins = strings.Split(tt.allowed, ",")
		}
		s := start(t, cfg)
		token, _ := s.gateway("g")
		c := s.dialRaw(forms[0])
		_, _ = io.WriteString(c, upgradeText(token, "Origin: "+tt.origin))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != tt.status {
			t.Errorf("%q of %q: %d, want %d", tt.origin, tt.allowed, resp.StatusCode, tt.status)
		}
		if body, _ := io.ReadAll(resp.Body); tt.status == 403 && !strings.Contains(string(body), `"forbidden"`) {
			t.Errorf("%s", body)
		}
		c.Close()
		s.drain()
	}
}
