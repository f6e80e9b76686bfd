// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// audits returns the audit lines of the log.
func (r *rig) audits() (lines []map[string]any) {
	r.t.Helper()
	for text := range strings.Lines(r.logs.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			r.t.Fatalf("%q: %v", text, err)
		}
		if line["msg"] == "audit" {
			lines = append(lines, line)
		}
	}
	return lines
}

// as does a request with the token of another admin.
func (r *rig) as(token, method, path, body string) reply {
	r.t.Helper()
	req := r.request(method, path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token)
	return r.send(req)
}

// Every request that changes something has one audit line: who did what from where, and the
// outcome.
func TestAudit(t *testing.T) {
	r := start(t)
	added := r.do("POST", prefix+"/gateways", `{"id":"g","name":"g"}`)
	var g struct{ TokenID string }
	if err := json.Unmarshal([]byte(added.body), &g); err != nil {
		t.Fatal(err)
	}
	r.do("POST", prefix+"/gateways", `{"name":""}`)
	r.do("POST", prefix+"/gateways/g/tokens", ``)
	r.do("DELETE", prefix+"/gateways/g/tokens/"+g.TokenID, ``)
	r.do("DELETE", prefix+"/gateways/g/tokens/secret-of-somebody", ``)
	r.do("POST", prefix+"/events", `{"gatewayId":"g","type":"a.b","correlationId":"c"}`)
	r.do("POST", prefix+"/events", `{`)
	r.bulk(strings.NewReader("{\"gatewayId\":\"g\",\"type\":\"a\"}\n{}\n{\"all\":true,\"type\":\"a\"}\n"))
	r.do("DELETE", prefix+"/connections/6b3f4d0e-0000-4000-8000-000000000000", ``)
	r.do("DELETE", prefix+"/gateways/g", ``)
	r.do("GET", prefix+"/gateways", ``) // changes nothing
	r.as("a-reader", "POST", prefix+"/events", `{"all":true,"type":"a"}`)
	r.as("nobody", "POST", prefix+"/events", `{"all":true,"type":"a"}`) // not authenticated: no audit line
	until(t, "all audit lines are written", func() bool { return len(r.audits()) >= 11 })
	lines := r.audits()
	want := []map[string]any{
		{"action": "gateway.add", "outcome": "ok", "gateway": "g", "token": g.TokenID},
		{"action": "gateway.add", "outcome": "invalid_gateway"},
		{"action": "token.add", "outcome": "ok", "gateway": "g"},
		{"action": "token.revoke", "outcome": "ok", "gateway": "g", "token": g.TokenID},
		{"action": "token.revoke", "outcome": "not_found", "gateway": "g", "token": nil},
		{"action": "publish", "outcome": "ok", "type": "a.b", "targets": 1.0, "correlationId": "c"},
		{"action": "publish", "outcome": "bad_request"},
		{"action": "publish", "outcome": "ok", "published": 2.0, "refused": 1.0},
		{"action": "connection.close", "outcome": "not_found"},
		{"action": "gateway.remove", "outcome": "ok", "gateway": "g"},
		{"action": "publish", "outcome": "forbidden", "admin": "reader"},
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%v", len(lines), len(want), lines)
	}
	for i, line := range lines {
		if want[i]["admin"] == nil {
			want[i]["admin"] = "root"
		}
		for key, value := range want[i] {
			if line[key] != value {
				t.Errorf("line %d: %s is %v, want %v", i, key, line[key], value)
			}
		}
		if remote, _ := line["remote"].(string); !strings.HasPrefix(remote, "127.0.0.1:") || line["time"] == nil {
			t.Errorf("line %d is from %v at %v", i, line["remote"], line["time"])
		}
	}
}

// A token can do what its scopes allow and nothing else.
func TestScopes(t *testing.T) {
	r := start(t)
	r.do("POST", prefix+"/gateways", `{"id":"g","name":"g"}`)
	for _, c := range []struct {
		method, path, body string
		reader, publisher  bool
	}{
		{"POST", "/events", `{"all":true,"type":"a"}`, false, true},
		{"GET", "/events", ``, true, false},
		{"GET", "/events/1-1", ``, true, false},
		{"GET", "/deliveries", ``, true, false},
		{"GET", "/messages", ``, true, false},
		{"GET", "/stats", ``, true, false},
		{"GET", "/gateways", ``, true, false},
		{"GET", "/gateways/g", ``, true, false},
		{"GET", "/gateways/g/tokens", ``, true, false},
		{"POST", "/gateways", `{"name":"x"}`, false, false},
		{"POST", "/gateways/g/tokens", ``, false, false},
		{"DELETE", "/gateways/g/tokens/x", ``, false, false},
		{"DELETE", "/gateways/g", ``, false, false},
		{"DELETE", "/verified/g", ``, false, false},
		{"DELETE", "/connections/x", ``, false, false},
	} {
		for token, may := range map[string]bool{"a-reader": c.reader, "a-publisher": c.publisher} {
			got := r.as(token, c.method, prefix+c.path, c.body)
			forbidden := got.status == http.StatusForbidden
			if forbidden == may || forbidden && !strings.Contains(got.body, `"error":"forbidden"`) {
				t.Errorf("%s %s as %s: %d %s", c.method, c.path, token, got.status, got.body)
			}
		}
	}
}
