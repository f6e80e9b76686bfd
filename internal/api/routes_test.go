// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/spec"
	"github.com/gatecast/gatecast/test/spectest"

	"github.com/google/uuid"
)

func TestRoutes(t *testing.T) {
	const gateways = prefix + "/gateways"
	connection := fakeConnectionID(0).String()
	tests := []struct {
		name         string
		method, path string
		body         string
		status       int
		want         string
	}{
		{"health", "GET", "/health", "", 200, `{"status":"ok"}`},
		{"ready", "GET", "/ready", "", 200, `{"status":"ready"}`},

		{"add a gateway", "POST", gateways, `{"id":"g4","name":"four","organizationId":"o","groups":["a"]}`, 201,
			`{"id":"g4","name":"four","organizationId":"o","groups":["a"],"createdAt":"1970-01-01T00:10:00.000000000Z","token":"secret-of-g4","tokenId":"t1"}`},
		{"add a gateway with little", "POST", gateways, `{"name":"x"}`, 201,
			`{"id":"made-up","name":"x","organizationId":"","groups":[],"createdAt":"1970-01-01T00:10:00.000000000Z","token":"secret-of-made-up","tokenId":"t1"}`},
		{"add a gateway of a taken id", "POST", gateways, `{"id":"g1","name":"x"}`, 409,
			`{"error":"conflict","message":"the id is taken: conflict"}`},
		{"add a gateway without a name", "POST", gateways, `{}`, 422,
			`{"error":"invalid_gateway","message":"name: is missing","field":"name"}`},
		{"add a gateway with an unknown field", "POST", gateways, `{"name":"x","tags":[]}`, 422,
			`{"error":"invalid_gateway","message":"tags: is not a field of this request","field":"tags"}`},
		{"add a gateway with a wrong type", "POST", gateways, `{"name":7}`, 422,
			`{"error":"invalid_gateway","message":"name: is a JSON number; want a string","field":"name"}`},
		{"add a gateway by an array", "POST", gateways, `[]`, 400, ``},
		{"add a gateway by nothing", "POST", gateways, ``, 400,
			`{"error":"bad_request","message":"the body is not one JSON object: it is empty"}`},
		{"add a gateway by two objects", "POST", gateways, `{"name":"x"}{}`, 400,
			`{"error":"bad_request","message":"the body is not one JSON object: more text follows it"}`},
		{"add a gateway by a long body", "POST", gateways, strings.Repeat(" ", 4096+bodySlack+1), 413,
			`{"error":"payload_too_large","message":"the body is longer than 69632 bytes"}`},

		{"list gateways", "GET", gateways, "", 200, ``},
		{"list gateways, first page", "GET", gateways + "?limit=1", "", 200,
			`{"gateways":[{"id":"g1","name":"name of g1","organizationId":"","groups":["all-of-them"],"createdAt":"1970-01-01T00:08:20.000000000Z"}],"cursor":"g1"}`},
		{"list gateways, last page", "GET", gateways + "?limit=2&cursor=g2", "", 200,
			`{"gateways":[{"id":"g3","name":"name of g3","organizationId":"","groups":["all-of-them"],"createdAt":"1970-01-01T00:08:20.000000000Z"}]}`},
		{"list gateways, past the end", "GET", gateways + "?cursor=zz", "", 200, `{"gateways":[]}`},
		{"list gateways, bad limit", "GET", gateways + "?limit=0", "", 400,
			`{"error":"bad_request","message":"parameter limit: want a number from 1 to 1000","field":"limit"}`},
		{"list gateways, long limit", "GET", gateways + "?limit=1001", "", 400, ``},
		{"list gateways, empty limit", "GET", gateways + "?limit=", "", 400, ``},
		{"list gateways, bad cursor", "GET", gateways + "?cursor=%20", "", 400,
			`{"error":"bad_request","message":"parameter cursor: not a cursor of this list","field":"cursor"}`},

		{"show a gateway", "GET", gateways + "/g2", "", 200,
			`{"id":"g2","name":"name of g2","organizationId":"","groups":["all-of-them"],"createdAt":"1970-01-01T00:08:20.000000000Z"}`},
		{"show no gateway", "GET", gateways + "/nobody", "", 404, `{"error":"not_found","message":"gateway nobody is not registered"}`},
		{"show what cannot be", "GET", gateways + "/%20", "", 404, `{"error":"not_found","message":"gateway %20 is not registered"}`},
		{"remove a gateway", "DELETE", gateways + "/g2", "", 204, ``},
		{"remove no gateway", "DELETE", gateways + "/nobody", "", 404, `{"error":"not_found","message":"gateway nobody: not found"}`},

		{"add a token", "POST", gateways + "/g1/tokens", "", 201,
			`{"id":"t1","token":"secret-of-g1","createdAt":"1970-01-01T00:11:40.000000000Z","expiresAt":null}`},
		{"add a token by an empty object", "POST", gateways + "/g1/tokens", "{}", 201, ``},
		{"add a token that expires", "POST", gateways + "/g1/tokens", `{"expiresAt":"2030-01-02T03:04:05+01:00"}`, 201,
			`{"id":"t1","token":"secret-of-g1","createdAt":"1970-01-01T00:11:40.000000000Z","expiresAt":"2030-01-02T02:04:05.000000000Z"}`},
		{"add a token that never expires", "POST", gateways + "/g1/tokens", `{"expiresAt":null}`, 201, ``},
		{"add a token with a bad time", "POST", gateways + "/g1/tokens", `{"expiresAt":"tomorrow"}`, 422,
			`{"error":"invalid_token","message":"expiresAt: want a time of RFC 3339, as in 2027-01-31T12:00:00Z, or null","field":"expiresAt"}`},
		{"add a token with a number", "POST", gateways + "/g1/tokens", `{"expiresAt":7}`, 422, ``},
		{"add a token by an array", "POST", gateways + "/g1/tokens", `[]`, 400, ``},
		{"add a token by a long body", "POST", gateways + "/g1/tokens", strings.Repeat(" ", 4096+bodySlack+1), 413, ``},
		{"add a token to nobody", "POST", gateways + "/nobody/tokens", ``, 404, ``},
		{"list no tokens", "GET", gateways + "/g1/tokens", "", 200, `{"tokens":[]}`},
		{"list nobody's tokens", "GET", gateways + "/nobody/tokens", "", 404, ``},
		{"revoke no token", "DELETE", gateways + "/g1/tokens/t9", "", 404, `{"error":"not_found","message":"token t9: not found"}`},

		{"close a connection", "DELETE", prefix + "/connections/" + connection, "", 204, ``},
		{"close no connection", "DELETE", prefix + "/connections/" + fakeConnectionID(99).String(), "", 404, ``},
		{"close what is no id", "DELETE", prefix + "/connections/7", "", 404, `{"error":"not_found","message":"no connection has the id 7"}`},
		{"close by another spelling", "DELETE", prefix + "/connections/urn:uuid:" + connection, "", 404, ``},

		{"unknown path", "GET", "/nope", "", 404, `{"error":"not_found","message":"no such path: /nope"}`},
		{"trailing slash", "POST", prefix + "/events/", `{"gatewayId":"g1","type":"t"}`, 404, ``},
		{"other case", "GET", "/Health", "", 404, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			r.conns.n = 5
			got := r.do(tt.method, tt.path, tt.body)
			if got.status != tt.status {
				t.Errorf("status %d, want %d", got.status, tt.status)
			}
			if tt.want != "" && got.body != tt.want {
				t.Errorf("got  %s\nwant %s", got.body, tt.want)
			}
			if tt.status == 204 && got.body != "" {
				t.Errorf("a body with 204: %s", got.body)
			}
			if got.body != "" && got.header.Get("Content-Type") != typeJSON {
				t.Errorf("type %q", got.header.Get("Content-Type"))
			}
		})
	}
}

func TestTokenLifecycle(t *testing.T) {
	r := start(t)
	const path = prefix + "/gateways/g1/tokens"
	for range auth.MaxTokens {
		if got := r.do("POST", path, ""); got.status != 201 || got.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d, %q", got.status, got.header.Get("Cache-Control"))
		}
	}
	if got := r.do("POST", path, ""); got.status != 409 || !strings.Contains(got.body, `"error":"conflict"`) {
		t.Errorf("one too many: %d %s", got.status, got.body)
	}
	const one = `{"id":"t%d","createdAt":"1970-01-01T00:11:40.000000000Z","expiresAt":null,"lastUsedAt":null}`
	if got, want := r.do("GET", path, "").body, fmt.Sprintf(`{"tokens":[`+one+`,`+one+`]}`, 1, 2); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := r.do("DELETE", path+"/t1", ""); got.status != 204 {
		t.Errorf("revoke: %d %s", got.status, got.body)
	}
	if got, want := r.do("GET", path, "").body, fmt.Sprintf(`{"tokens":[`+one+`]}`, 2); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPublicRoutes(t *testing.T) {
	r := start(t)
	tests := []struct {
		name, method, path, authorization string
		want                              int
	}{
		{"health", "GET", "/health", "", 200},
		{"ready", "GET", "/ready", "", 200},
		{"metrics", "GET", "/metrics", "", 200},
		{"the OpenAPI document", "GET", "/openapi.yaml", "", 200},
		{"the AsyncAPI document", "GET", "/asyncapi.yaml", "", 200},
		{"publish", "POST", prefix + "/events", "", 401},
		{"stats", "GET", prefix + "/stats", "", 401},
		{"events", "GET", prefix + "/events", "", 401},
		{"an event", "GET", prefix + "/events/10-1", "", 401},
		{"deliveries", "GET", prefix + "/deliveries", "", 401},
		{"messages", "GET", prefix + "/messages", "", 401},
		{"stats of the cluster", "GET", prefix + "/stats?scope=cluster", "", 401},
		{"gateways", "GET", prefix + "/gateways", "", 401},
		{"unknown path", "GET", "/nope", "", 401},
		{"wrong method", "PUT", prefix + "/events", "", 401},
		{"wrong token", "GET", prefix + "/stats", "Bearer nope", 401},
		{"no scheme", "GET", prefix + "/stats", adminToken, 401},
		{"other scheme", "GET", prefix + "/stats", "Basic " + adminToken, 401},
		{"empty token", "GET", prefix + "/stats", "Bearer ", 401},
		{"right token", "GET", prefix + "/stats", "Bearer " + adminToken, 200},
		{"scheme in small letters", "GET", prefix + "/stats", "bearer " + adminToken, 200},
		{"a path that decodes to an open one", "DELETE", prefix + "/gateways/..%2f..%2f..%2f..%2fhealth", "", 401},
		{"a path that leads to an open one", "GET", prefix + "/../../../health", "", 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := r.request(tt.method, tt.path, nil)
			req.Header.Set("Authorization", tt.authorization)
			got := r.send(req)
			if got.status != tt.want {
				t.Errorf("status %d, want %d", got.status, tt.want)
			}
			if tt.want == 401 && (got.header.Get("WWW-Authenticate") != `Bearer realm="gatecast"` ||
				!strings.HasPrefix(got.body, `{"error":"unauthorized","message":"`)) {
				t.Errorf("%q %s", got.header.Get("WWW-Authenticate"), got.body)
			}
		})
	}
}

func TestMethodNotAllowed(t *testing.T) {
	r := start(t)
	tests := []struct{ name, method, path, allow string }{
		{"events", "DELETE", prefix + "/events", "GET, HEAD, OPTIONS, POST"},
		{"an event", "POST", prefix + "/events/10-1", "GET, HEAD, OPTIONS"},
		{"deliveries", "POST", prefix + "/deliveries", "GET, HEAD, OPTIONS"},
		{"messages", "DELETE", prefix + "/messages", "GET, HEAD, OPTIONS"},
		{"stats", "POST", prefix + "/stats", "GET, HEAD, OPTIONS"},
		{"a gateway", "POST", prefix + "/gateways/g1", "DELETE, GET, HEAD, OPTIONS, PUT"},
		{"health", "DELETE", "/health", "GET, HEAD, OPTIONS"},
		{"an unheard-of method", "FOO", prefix + "/events", "GET, HEAD, OPTIONS, POST"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := r.do(tt.method, tt.path, "")
			if got.status != 405 || got.header.Get("Allow") != tt.allow {
				t.Errorf("%d, Allow: %q; want 405, %q", got.status, got.header.Get("Allow"), tt.allow)
			}
			if !strings.HasPrefix(got.body, `{"error":"method_not_allowed"`) {
				t.Errorf("%s", got.body)
			}
		})
	}
}

func TestHeadHasNoBody(t *testing.T) {
	r := start(t)
	r.do("POST", prefix+"/events", good)
	for _, path := range []string{
		"/health", "/ready", "/metrics", "/openapi.yaml", "/asyncapi.yaml", prefix + "/stats", prefix + "/stats?scope=cluster", prefix + "/gateways",
		prefix + "/events", prefix + "/events/10-1", prefix + "/deliveries", prefix + "/messages",
	} {
		if got := r.do("HEAD", path, ""); got.status != 200 || got.body != "" {
			t.Errorf("%s: %d %q", path, got.status, got.body)
		}
	}
}

func TestNotReady(t *testing.T) {
	r := start(t, func(c *Config, _ *limits) {
		c.Ready = func(ctx context.Context) error {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("a readiness check has no deadline")
			}
			return errors.New("the log is unreachable")
		}
	})
	got := r.do("GET", "/ready", "")
	if got.status != 503 || got.body != `{"error":"unavailable","message":"the log is unreachable"}` || got.header.Get("Retry-After") != "1" {
		t.Errorf("%d %s %q", got.status, got.body, got.header.Get("Retry-After"))
	}
}

func TestRegistryUnreachable(t *testing.T) {
	r := start(t)
	r.registry.fail = errors.New("no quorum")
	for _, req := range [][3]string{
		{"POST", prefix + "/gateways", `{"name":"x"}`}, {"DELETE", prefix + "/gateways/g1", ""},
		{"POST", prefix + "/gateways/g1/tokens", ""}, {"DELETE", prefix + "/gateways/g1/tokens/t1", ""},
	} {
		got := r.do(req[0], req[1], req[2])
		if got.status != 503 || !strings.Contains(got.body, "no quorum") || got.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %s", req[0], req[1], got.status, got.body)
		}
	}
	if !strings.Contains(r.logs.String(), "no quorum") {
		t.Error("it is not logged")
	}
}

func TestMetricsAreServed(t *testing.T) {
	r := start(t)
	r.do("POST", prefix+"/events", `{"gatewayId":"g1","type":"api.deployed"}`)
	r.do("POST", prefix+"/events", `{"gatewayId":"nobody","type":"api.deployed"}`)
	r.do("POST", prefix+"/events", `{`)
	got := r.do("GET", "/metrics", "")
	for _, want := range []string{
		`gatecast_events_published_total{type="api.deployed"} 1`,
		`gatecast_rejected_publishes_total{error="not_found"} 1`,
		`gatecast_rejected_publishes_total{error="bad_request"} 1`,
		`gatecast_log_append_seconds_count 1`,
	} {
		if !strings.Contains(got.body, "\n"+want+"\n") {
			t.Errorf("/metrics has no line %s", want)
		}
	}
}

func TestDocumentsAreServed(t *testing.T) {
	r := start(t)
	for path, want := range map[string]string{"/openapi.yaml": spec.OpenAPI, "/asyncapi.yaml": spec.AsyncAPI} {
		got := r.do("GET", path, "")
		if got.status != 200 || got.body+"\n" != want || got.header.Get("Content-Type") != "application/yaml" {
			t.Errorf("%s: %d, %q, %.100s", path, got.status, got.header.Get("Content-Type"), got.body)
		}
	}
}

// Every route is documented, and every documented operation is a route. The rig checks answers.
func TestRoutesAreDocumented(t *testing.T) {
	var routes []string
	list := start(t).router().List()
	for method, paths := range list {
		for _, path := range paths {
			if method != http.MethodHead || !slices.Contains(list[http.MethodGet], path) {
				routes = append(routes, method+" "+path)
			}
			routes = append(routes, "OPTIONS "+path) // of each path, by the router itself
		}
	}
	slices.Sort(routes)
	routes = slices.Compact(routes)
	if got := spectest.Operations(); !slices.Equal(got, routes) {
		t.Errorf("openapi.yaml has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(routes, "\n"))
	}
}

// OPTIONS lists the documented methods of each path and allows no other origin anything.
func TestOptions(t *testing.T) {
	r := start(t)
	methods := make(map[string][]string)
	for _, operation := range spectest.Operations() {
		method, path, _ := strings.Cut(operation, " ")
		methods[path] = append(methods[path], method)
		if method == http.MethodGet {
			methods[path] = append(methods[path], http.MethodHead)
		}
	}
	for path, want := range methods {
		slices.Sort(want)
		there := strings.NewReplacer("{connectionId}", uuid.Nil.String(), "events/{id}", "events/10-1").Replace(path)
		req := r.request(http.MethodOptions, regexp.MustCompile(`{\w+}`).ReplaceAllString(there, "x"), nil)
		req.Header.Set("Origin", "https://elsewhere.example")
		req.Header.Set("Access-Control-Request-Method", "POST")
		req.Header.Set("Access-Control-Request-Headers", "authorization")
		got := r.send(req)
		if allow := got.header.Get("Allow"); got.status != 200 || got.body != "" || allow != strings.Join(want, ", ") {
			t.Errorf("%s: %d %q, Allow: %s; want 200, %v", path, got.status, got.body, allow, want)
		}
		for name := range got.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s: %s", path, name, got.header.Get(name))
			}
		}
	}
	if got := r.do(http.MethodOptions, "/nope", ""); got.status != 404 {
		t.Errorf("of a path that is not there: %d", got.status)
	}
}

// The document says which operations need no token.
func TestDocumentedPublicOperations(t *testing.T) {
	r := start(t)
	for _, operation := range spectest.Operations() {
		method, path, _ := strings.Cut(operation, " ")
		req := r.request(method, regexp.MustCompile(`{\w+}`).ReplaceAllString(path, "x"), nil)
		req.Header.Del("Authorization")
		want := http.StatusUnauthorized
		if spectest.IsOpen(operation) {
			want = http.StatusOK
		}
		if got := r.send(req); got.status != want {
			t.Errorf("%s: %d, want %d", operation, got.status, want)
		}
	}
}

func TestIncompleteBodies(t *testing.T) {
	r := start(t, func(_ *Config, l *limits) { l.read = 100 * time.Millisecond })
	for _, route := range []string{"POST /events", "POST /gateways", "PUT /gateways/g1", "POST /gateways/g1/tokens"} {
		method, path, _ := strings.Cut(route, " ")
		got := r.raw(method + " " + prefix + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + adminToken + "\r\nContent-Length: 9\r\n\r\n{")
		if got.status != 408 || !strings.HasPrefix(got.body, `{"error":"request_timeout"`) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestCloseConnectionFails(t *testing.T) {
	r := start(t)
	r.conns.fail = errors.New("shard 1 does not answer")
	got := r.do("DELETE", prefix+"/connections/"+fakeConnectionID(0).String(), "")
	if got.status != 503 || !strings.Contains(got.body, "shard 1") || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestRevokeVerified(t *testing.T) {
	var asked []string
	var fail error
	r := start(t, func(c *Config, _ *limits) {
		c.RevokeVerified = func(_ context.Context, id string) error {
			asked = append(asked, id)
			return fail
		}
	})
	if got := r.do("DELETE", prefix+"/verified/nobody-here", ""); got.status != 204 || got.body != "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := r.do("DELETE", prefix+"/verified/a%20b", ""); got.status != 404 || !strings.Contains(got.body, "not a valid gateway id") {
		t.Errorf("no id: %d %s", got.status, got.body)
	}
	fail = errors.New("n3 does not answer")
	got := r.do("DELETE", prefix+"/verified/g1", "")
	if got.status != 503 || !strings.Contains(got.body, "n3") || got.header.Get("Retry-After") == "" {
		t.Errorf("a node is away: %d %s", got.status, got.body)
	}
	if want := []string{"nobody-here", "g1"}; !slices.Equal(asked, want) {
		t.Errorf("taken back: %q, want %q", asked, want)
	}
}

// Without --verify-url the route does not exist.
func TestRevokeVerifiedWithoutVerifyURL(t *testing.T) {
	if got := start(t).do("DELETE", prefix+"/verified/g1", ""); got.status != 404 || !strings.Contains(got.body, "--verify-url") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// The route is public, so it must not read a body.
func TestMetricsDoNotWaitForABody(t *testing.T) {
	r := start(t, func(_ *Config, l *limits) { l.read = time.Hour })
	got := r.raw("GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n" + strings.Repeat("x", 9000))
	if got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

type panicking struct{ Registry }

func (panicking) Reach(event.Target) (int, int, string) { panic("no such shard") }

func TestPanicIsAnInternalError(t *testing.T) {
	r := start(t, func(c *Config, _ *limits) { c.Registry = panicking{c.Registry} })
	got := r.do("POST", prefix+"/events", `{"gatewayId":"g1","type":"t"}`)
	if got.status != 500 || !strings.HasPrefix(got.body, `{"error":"internal_error"`) || strings.Contains(got.body, "shard") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if l := r.logs.String(); !strings.Contains(l, "no such shard") || !strings.Contains(l, "routes_test.go") {
		t.Errorf("the panic is not logged with its stack:\n%s", l)
	}
	if got := r.do("GET", "/health", ""); got.status != 200 {
		t.Errorf("after it: %d", got.status)
	}
}

// dial opens a connection that is closed when the test ends.
func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// raw sends bytes and returns the response.
func (r *rig) raw(text string) reply {
	r.t.Helper()
	c := r.dial()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		req = nil // it is none
	}
	spectest.CheckAnswer(r.t, req, resp, b)
	return reply{resp.StatusCode, resp.Header, strings.TrimSuffix(string(b), "\n")}
}

func TestRequestsThatAreNotHTTP(t *testing.T) {
	r := start(t)
	authorized := "POST " + prefix + "/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + adminToken + "\r\n"
	tests := []struct {
		name, text string
		status     int
		code       string
	}{
		{"not HTTP", "hello\r\n\r\n", 400, codeBadRequest},
		{"a header without end", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 9000), 431, codeBadRequest},
		{"a broken chunk", authorized + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, codeBadRequest},
		{"HTTP/1.0", "GET /health HTTP/1.0\r\n\r\n", 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r.t = t
			got := r.raw(tt.text)
			if got.status != tt.status || tt.code != "" && !strings.HasPrefix(got.body, `{"error":"`+tt.code+`"`) {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
}

func TestErrorCodesAreDocumented(t *testing.T) {
	codes := []string{
		codeBadRequest, codeUnauthorized, codeForbidden, codeNotFound, codeMethodNotAllowed,
		codeTimeout, codeConflict, codeTooLarge, codeUnsupported, codeInvalidEvent,
		codeInvalidGateway, codeInvalidToken, codeInternal, codeUnavailable, codeDraining,
	}
	if got := spectest.ErrorCodes(); !slices.Equal(got, codes) {
		t.Errorf("openapi.yaml has the error codes %q, want %q", got, codes)
	}
}

func TestParameterLimitsAreDocumented(t *testing.T) {
	for _, tt := range []struct {
		operation, name string
		def, bound      int
	}{
		{"POST " + prefix + "/events", headerIdempotencyKey, 0, maxIdempotencyKey},
		{"GET " + prefix + "/events", "limit", queryPage, maxPage},
		{"GET " + prefix + "/deliveries", "limit", queryPage, maxPage},
		{"GET " + prefix + "/messages", "limit", queryPage, maxPage},
		{"GET " + prefix + "/gateways", "limit", gatewaysPage, maxPage},
		{"GET " + prefix + "/stats", "limit", 0, maxPage},
	} {
		if def, bound := spectest.Parameter(tt.operation, tt.name); def != tt.def || bound != tt.bound {
			t.Errorf("%s: openapi.yaml has the default %d and the limit %d for %s, want %d and %d", tt.operation, def, bound, tt.name, tt.def, tt.bound)
		}
	}
}
