// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"strings"
	"testing"
)

// A gateway can send its token as a bearer token. Other schemes are for others.
func TestBearer(t *testing.T) {
	for name, headers := range map[string][]string{
		"bearer":             {"api-key", "", "Authorization", "Bearer " + goodToken},
		"another spelling":   {"api-key", "", "authorization", "bEARER   " + goodToken + " "},
		"both the same":      {"Authorization", "Bearer " + goodToken},
		"basic is ignored":   {"Authorization", "Basic Zm9vOmJhcg=="},
		"bearer of nothing":  {"Authorization", "Bearer"},
		"an empty header":    {"Authorization", " "},
		"no scheme at all":   {"Authorization", "gc_other"},
		"a scheme like that": {"Authorization", "BearerX gc_other"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTestFront(t, false, nil)
			r, resp := h.admit(headers...)
			if resp.StatusCode != 101 || r.Peer.GatewayID != "g" {
				t.Errorf("%s", resp.Status)
			}
			r.Closed()
		})
	}
	twice := strings.Replace(upgradeWith(), "\r\n\r\n", "\r\nAuthorization: Bearer "+goodToken+"\r\nAuthorization: Bearer "+goodToken+"\r\n\r\n", 1)
	for _, c := range []struct {
		name, request string
		status        int
		code          string
	}{
		{"two tokens that differ", upgradeWith("Authorization", "Bearer gc_other"), 400, "bad_request"},
		{"wrong bearer", upgradeWith("api-key", "", "Authorization", "Bearer gc_bad"), 401, "unauthorized"},
		{"basic only", upgradeWith("api-key", "", "Authorization", "Basic "+goodToken), 401, "unauthorized"},
		{"two Authorization headers", twice, 400, "bad_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestFront(t, false, nil)
			resp, body := h.request(c.request)
			checkRefusal(t, resp, body, c.status, c.code)
			if strings.Contains(body, "gc_") {
				t.Errorf("a token is in the answer: %s", body)
			}
		})
	}
}
