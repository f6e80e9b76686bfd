// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
)

// startWithRegistry starts a server with the real registry.
func startWithRegistry(t *testing.T) (*rig, *auth.Registry) {
	t.Helper()
	registry, err := auth.Open(t.Context(), memstore.New(), auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(registry.Close)
	return start(t, func(c *Config, _ *limits) { c.Registry = registry }), registry
}

// digestText is the SHA-256 of a token that a platform made, as it sends it.
func digestText(token string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(token))) }

// token is a token of a platform.
func token(name string) string { return "the-platform-made-this-token-" + name }

// importAll sends lines and returns those of the answer.
func (r *rig) importAll(lines string) []string {
	r.t.Helper()
	req := r.request("POST", prefix+"/gateways", strings.NewReader(lines))
	req.Header.Set("Content-Type", typeNDJSON)
	got := r.send(req)
	if got.status != http.StatusOK || got.header.Get("Content-Type") != typeNDJSON {
		r.t.Fatalf("status %d, type %q: %s", got.status, got.header.Get("Content-Type"), got.body)
	}
	return strings.Split(got.body, "\n")
}

// export returns all gateways.
func (r *rig) export(admin string) reply {
	r.t.Helper()
	req := r.request("GET", prefix+"/gateways", nil)
	req.Header.Set("Authorization", "Bearer "+admin)
	req.Header.Set("Accept", "application/json;q=0.5, "+typeNDJSON)
	return r.send(req)
}

// line is a gateway in the form of an export.
func line(id, tokenName string) string {
	return fmt.Sprintf(`{"id":%q,"name":"name of %s","organizationId":"acme","groups":["eu","us"],"createdAt":"2021-02-03T04:05:06.000000007Z",`+
		`"tokens":[{"id":"tok-%s","sha256":%q,"createdAt":"2022-02-03T04:05:06.000000000Z","expiresAt":"2999-01-01T00:00:00.000000000Z"}]}`, id, id, tokenName, digestText(token(tokenName)))
}

// Every line is answered with its number. A bad line names its field and the remedy, and
// stops nothing else.
func TestImportGateways(t *testing.T) {
	r, registry := startWithRegistry(t)
	file := strings.Join([]string{
		line("a", "a"),
		`nonsense`,
		``,
		`{"id":"b","name":"b","tokens":[{"sha256":"123"}]}`,
		`{"id":"c","name":"c","tokens":[{"token":"` + token("c") + `"}]}`,
		`{"name":"d"}`,
		line("e", "a"), // the token of a
		`{"id":"a","name":"other name"}`,
		`{"id":"f","name":"f","expiresAt":"2027-01-01T00:00:00Z"}`,
		`{"id":"g"}`,
		`{"id":"h","name":"h"}`,
		`{"id":"i","name":"` + strings.Repeat("x", importLineLimit) + `"}`,
		line("j", "j"),
	}, "\n")
	want := []string{
		`{"line":1,"id":"a","result":"created"}`,
		`{"line":2,"error":"bad_request","message":"the body is not one JSON object: invalid character 'o' in literal null (expecting 'u')"}`,
		`{"line":4,"error":"invalid_gateway","message":"tokens[0].sha256: want the token's SHA-256 as 64 hexadecimal digits","field":"tokens[0].sha256"}`,
		`{"line":5,"error":"invalid_gateway","message":"tokens[0].token: is not a field of a token; send its SHA-256 as sha256, never the token","field":"tokens[0].token"}`,
		`{"line":6,"error":"invalid_gateway","message":"id: is missing; want the gateway's id, by which a repeated import finds it","field":"id"}`,
		`{"line":7,"error":"conflict","message":"tokens[0].sha256: this digest belongs to gateway a; a token is of one gateway: give this one its own, or remove it there and use a new token","field":"tokens[0].sha256"}`,
		`{"line":8,"id":"a","result":"updated"}`,
		`{"line":9,"error":"invalid_gateway","message":"expiresAt: is not a field of this request","field":"expiresAt"}`,
		`{"line":10,"error":"invalid_gateway","message":"name: is missing; want a name for people, as in eu-west-1","field":"name"}`,
		`{"line":11,"id":"h","result":"created"}`,
		`{"line":12,"error":"payload_too_large","message":"the line is longer than 65536 bytes"}`,
		`{"line":13,"id":"j","result":"created"}`,
	}
	got := r.importAll(file)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("got  %s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if g, ok := registry.Verify(token("j")); !ok || g.Gateway.ID != "j" || g.TokenID != "tok-j" {
		t.Error("the token of j is not valid")
	}
	if a := r.audits(); len(a) != 1 || a[0]["action"] != "gateway.import" || a[0]["created"] != 3.0 || a[0]["updated"] != 1.0 || a[0]["refused"] != 8.0 {
		t.Errorf("the audit is %v", a)
	}
}

// What was imported is exported in the same form, and importing it again changes nothing.
func TestExportGateways(t *testing.T) {
	r, registry := startWithRegistry(t)
	var lines []string
	for i := range 2*exportPage + 1 {
		lines = append(lines, line(fmt.Sprintf("g%05d", i), fmt.Sprint(i)))
	}
	file := strings.Join(lines, "\n")
	r.importAll(file)
	got := r.export(adminToken)
	if got.status != http.StatusOK || got.header.Get("Content-Type") != typeNDJSON || got.body != file {
		t.Fatalf("status %d: got  %.500s\nwant %.500s", got.status, got.body, file)
	}
	for i, answer := range r.importAll(got.body) {
		if !strings.Contains(answer, `"result":"unchanged"`) {
			t.Fatalf("line %d: %s", i+1, answer)
		}
	}
	if r.export("a-reader").status != http.StatusForbidden {
		t.Error("a reader can export")
	}
	// An old file neither revives a revoked token nor drops a rotated one.
	if err := registry.RevokeToken(t.Context(), "g00000", "tok-0"); err != nil {
		t.Fatal(err)
	}
	_, secret, err := registry.AddToken(t.Context(), "g00000", auth.TokenDigest{}.ExpiresAt)
	if err != nil {
		t.Fatal(err)
	}
	r.logs.Hide("a token", secret)
	r.importAll(file)
	if _, ok := registry.Verify(token("0")); ok {
		t.Error("a revoked token is valid again")
	}
	if _, ok := registry.Verify(secret); !ok {
		t.Error("a rotated token was dropped")
	}
	exports := 0
	for _, a := range r.audits() {
		if a["action"] == "gateway.export" && (a["outcome"] == "ok" && a["gateways"] == float64(len(lines)) || a["outcome"] == codeForbidden) {
			exports++
		}
	}
	if exports != 2 {
		t.Errorf("the audit is %v", r.audits())
	}
}

// POST and PUT take the tokens that a platform made, and answer without any.
func TestPutGateway(t *testing.T) {
	r, registry := startWithRegistry(t)
	const path = prefix + "/gateways"
	tokens := func(names ...string) string {
		var list []string
		for _, name := range names {
			list = append(list, fmt.Sprintf(`{"sha256":%q}`, strings.ToUpper(digestText(token(name)))))
		}
		return `"tokens":[` + strings.Join(list, ",") + `]`
	}
	const created = `"createdAt":"2021-02-03T04:05:06.000000000Z"}`
	for _, step := range []struct {
		method, path, body string
		status             int
		answer             string // a part of it
		valid, refused     string // names of tokens
	}{
		{"POST", path, `{"id":"a","name":"a","createdAt":"2021-02-03T04:05:06Z",` + tokens("a") + `}`, 201, `{"id":"a","name":"a","organizationId":"","groups":[],` + created, "a", ""},
		{"POST", path, `{"id":"a","name":"a",` + tokens("x") + `}`, 409, `already registered`, "a", "x"},
		{"POST", path, `{"id":"b","name":"b",` + tokens("a") + `}`, 409, `"field":"tokens[0].sha256"`, "a", ""},
		{"PUT", path + "/b", `{"name":"b",` + tokens("a") + `}`, 409, `"error":"conflict"`, "a", ""},
		{"PUT", path + "/b", `{}`, 422, `"field":"name"`, "", ""},
		{"PUT", path + "/b", `{"name":"b","organizationId":"acme","groups":["eu"],` + tokens("b", "c") + `}`, 201, `{"id":"b","name":"b","organizationId":"acme","groups":["eu"],`, "bc", ""},
		{"PUT", path + "/b", `{"id":"b","groups":null}`, 200, `"organizationId":"acme","groups":["eu"]`, "bc", ""},
		{"PUT", path + "/b", `{"id":"c"}`, 422, `"field":"id"`, "", ""},
		{"PUT", path + "/b", `{"groups":["us"],"organizationId":null}`, 200, `"organizationId":"acme","groups":["us"]`, "bc", ""},
		{"PUT", path + "/b", `{` + tokens("c", "d") + `}`, 200, `"name":"b"`, "cd", "b"},
		{"PUT", path + "/b", `{` + tokens("b") + `}`, 409, `was revoked`, "cd", "b"},
		{"PUT", path + "/b", `{"tokens":[{"sha256":1}]}`, 422, `"field":"tokens[0].sha256"`, "cd", ""},
		{"PUT", path + "/b", `{"tokens":{}}`, 422, `"field":"tokens"`, "cd", ""},
		{"PUT", path + "/b", `{"tokens":[1]}`, 422, `"field":"tokens[0]"`, "cd", ""},
		{"PUT", path + "/b", `{"tokens":[{}]}`, 422, `"field":"tokens[0].sha256"`, "cd", ""},
		{"PUT", path + "/b", `{"Name":"x"}`, 422, `"field":"Name"`, "cd", ""},
		{"PUT", path + "/b", `{"tokens":[]}`, 200, `"name":"b"`, "", "cd"},
	} {
		got := r.do(step.method, step.path, step.body)
		if got.status != step.status || !strings.Contains(got.body, step.answer) || strings.Contains(got.body, `"token":`) {
			t.Errorf("%s %s %s: %d %s; want %d and %s", step.method, step.path, step.body, got.status, got.body, step.status, step.answer)
		}
		for _, name := range step.valid {
			if _, ok := registry.Verify(token(string(name))); !ok {
				t.Errorf("after %s %s: token %c is not valid", step.method, step.body, name)
			}
		}
		for _, name := range step.refused {
			if _, ok := registry.Verify(token(string(name))); ok {
				t.Errorf("after %s %s: token %c is valid", step.method, step.body, name)
			}
		}
	}
	for body, status := range map[string]int{`{`: 400, strings.Repeat(" ", 4096+bodySlack+1): 413} {
		if got := r.do("PUT", path+"/b", body); got.status != status {
			t.Errorf("%.10s: %d %s", body, got.status, got.body)
		}
	}
	if got := r.do("PUT", path+"/%20", `{}`); got.status != http.StatusNotFound {
		t.Errorf("an invalid id: %d %s", got.status, got.body)
	}
	text := r.request("PUT", path+"/b", strings.NewReader(`{}`))
	text.Header.Set("Content-Type", "text/plain")
	if got := r.send(text); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("text: %d %s", got.status, got.body)
	}
	if got := r.as("a-reader", "PUT", path+"/b", `{"name":"x"}`); got.status != http.StatusForbidden {
		t.Errorf("a reader can change gateways: %d", got.status)
	}
}

// A node that does not know the tokens of the other nodes neither imports nor exports.
func TestImportNotSynced(t *testing.T) {
	r := start(t, func(_ *Config, l *limits) { l.imports = time.Nanosecond })
	r.registry.mu.Lock()
	r.registry.catchUpErr = auth.ErrNotSynced
	r.registry.mu.Unlock()
	if got := r.export(adminToken); got.status != http.StatusServiceUnavailable {
		t.Errorf("export: %d %s", got.status, got.body)
	}
	if got := r.do("PUT", prefix+"/gateways/a", `{"name":"a"}`); got.status != http.StatusServiceUnavailable {
		t.Errorf("PUT: %d %s", got.status, got.body)
	}
	if got := r.importAll(line("a", "a")); !strings.Contains(got[0], `"error":"unavailable"`) {
		t.Errorf("import: %s", got)
	}
}

// An import waits for a registry that is out of reach for a moment.
func TestImportWaits(t *testing.T) {
	_, registry := startWithRegistry(t)
	slow := &slowSync{Registry: registry}
	r := start(t, func(c *Config, _ *limits) { c.Registry = slow })
	if got := r.importAll(line("a", "a")); got[0] != `{"line":1,"id":"a","result":"created"}` || slow.asked.Load() != 3 {
		t.Errorf("import: %s after %d tries", got, slow.asked.Load())
	}
}

// A slowSync is a registry that is in sync at the third try.
type slowSync struct {
	*auth.Registry
	asked atomic.Int32
}

func (s *slowSync) BeginImport(ctx context.Context) (*auth.Import, error) {
	if s.asked.Add(1) < 3 {
		return nil, auth.ErrNotSynced
	}
	return s.Registry.BeginImport(ctx)
}
