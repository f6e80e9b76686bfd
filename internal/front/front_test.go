// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/http1"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"
	"github.com/gatecast/gatecast/test/testenv"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A testFront is a running front without shards: the test gets the registrations.
type testFront struct {
	*Front
	t          *testing.T
	addr       string
	tls        bool
	registered chan *shard.Registration
	available  atomic.Bool
	served     chan error
}

const goodToken = "gc_good"

func newTestFront(t *testing.T, useTLS bool, change func(*Config)) *testFront {
	h := &testFront{t: t, tls: useTLS, registered: make(chan *shard.Registration, 100), served: make(chan error, 1)}
	h.available.Store(true)
	grant := &auth.Grant{Gateway: &auth.Gateway{ID: "g"}, TokenID: "t", Live: new(atomic.Int32), QuotaUsed: new(atomic.Int32), OrgQuotaUsed: new(atomic.Int32)}
	logs := testenv.NewLog(t)
	logs.HideKey(testenv.Certificate().PrivateKey)
	for _, token := range []string{goodToken, "gc_bad", "gc_other", "gc_unverified"} {
		logs.Hide("a token", token)
	}
	cfg := Config{
		Verify: func(token string) (*auth.Grant, error) {
			switch token {
			case goodToken:
				return grant, nil
			case "gc_unverified":
				return nil, auth.ErrUnreachable
			}
			return nil, auth.ErrRefused
		},
		Limits:   Limits{Total: 10},
		Register: func(r *shard.Registration) { r.Counted(); h.registered <- r },
		Resume: func(_ context.Context, since string, latest bool) *shard.Resume {
			return &shard.Resume{ResyncReason: since, Latest: latest} // any field can carry what was requested
		},
		WebSocket: &shard.WebSocket{MaxMessage: 100, ShutdownCode: 1000},
		Available: h.available.Load,
		Node:      metrics.NewNode("test"),
		Logger:    logs.Logger(),
	}
	if useTLS {
		cfg.TLS = poller.NewTLS(&tls.Config{Certificates: []tls.Certificate{testenv.Certificate()}, NextProtos: []string{"http/1.1"}}, false)
	}
	if change != nil {
		change(&cfg)
	}
	h.Front = New(cfg)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = ln.Addr().String()
	go func() { h.served <- h.Serve(ln) }()
	t.Cleanup(func() {
		h.drain()
		if err := <-h.served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return h
}

func (h *testFront) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.Drain(ctx); err != nil {
		h.t.Errorf("Drain = %v", err)
	}
}

// dial connects, with TLS if the front has it.
func (h *testFront) dial() net.Conn {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	if h.tls {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	h.t.Cleanup(func() { c.Close() })
	return c
}

// request sends the text of a request and reads the response.
func (h *testFront) request(request string) (*http.Response, string) {
	h.t.Helper()
	return h.response(h.send(request))
}

// send connects and sends the text of a request.
func (h *testFront) send(request string) net.Conn {
	h.t.Helper()
	c := h.dial()
	if _, err := io.WriteString(c, request); err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (h *testFront) response(c net.Conn) (*http.Response, string) {
	h.t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp, string(body)
}

// admit sends an upgrade that is accepted. It returns the registration and the response.
func (h *testFront) admit(changes ...string) (*shard.Registration, *http.Response) {
	h.t.Helper()
	h.send(upgradeWith(changes...))
	select {
	case r := <-h.registered:
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(r.UpgradeResponse)), nil)
		if err != nil {
			h.t.Fatal(err)
		}
		return r, resp
	case <-time.After(20 * time.Second):
		h.t.Fatal("nothing was registered")
		return nil, nil
	}
}

// upgradeWith returns an upgrade request with changed headers. An empty value removes a
// header.
func upgradeWith(changes ...string) string {
	lines := map[string]string{
		"": "GET " + ConnectPath + " HTTP/1.1", "Host": "x", "Upgrade": "websocket", "Connection": "Upgrade",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "api-key": goodToken,
	}
	for i := 0; i < len(changes); i += 2 {
		lines[changes[i]] = changes[i+1]
	}
	b := lines[""] + "\r\n"
	delete(lines, "")
	for name, value := range lines {
		if value != "" {
			b += name + ": " + value + "\r\n"
		}
	}
	return b + "\r\n"
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, request string
		status        int
		code          string
		header        [2]string
	}{
		{"no token", upgradeWith("api-key", ""), 401, "unauthorized", [2]string{}},
		{"wrong token", upgradeWith("api-key", "gc_bad"), 401, "unauthorized", [2]string{}},
		{"two tokens", strings.Replace(upgradeWith(), "\r\n\r\n", "\r\nApi-Key: gc_other\r\n\r\n", 1), 400, "bad_request", [2]string{}},
		{"unknown replay", upgradeWith("Replay", "newest"), 400, "bad_request", [2]string{}},
		{"token in the query", upgradeWith("api-key", "", "", "GET "+ConnectPath+"?api-key="+goodToken+" HTTP/1.1"), 401, "unauthorized", [2]string{}},
		{"POST", upgradeWith("", "POST "+ConnectPath+" HTTP/1.1"), 405, "method_not_allowed", [2]string{"Allow", "GET"}},
		{"no upgrade", upgradeWith("Upgrade", ""), 426, "upgrade_required", [2]string{"Sec-Websocket-Version", "13"}},
		{"an ordinary GET", "GET " + ConnectPath + " HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", 426, "upgrade_required", [2]string{"Upgrade", "websocket"}},
		{"old version", upgradeWith("Sec-WebSocket-Version", "8"), 426, "upgrade_required", [2]string{"Sec-Websocket-Version", "13"}},
		{"no version", upgradeWith("Sec-WebSocket-Version", ""), 400, "bad_request", [2]string{}},
		{"no key", upgradeWith("Sec-WebSocket-Key", ""), 400, "bad_request", [2]string{}},
		{"short key", upgradeWith("Sec-WebSocket-Key", "c2hvcnQ="), 400, "bad_request", [2]string{}},
		{"no host", upgradeWith("Host", ""), 400, "bad_request", [2]string{}},
		{"no connection header", upgradeWith("Connection", ""), 400, "bad_request", [2]string{}},
		{"HTTP/1.0", upgradeWith("", "GET "+ConnectPath+" HTTP/1.0"), 400, "bad_request", [2]string{}},
		{"malformed header", strings.Replace(upgradeWith(), "\r\n\r\n", "\r\nnonsense\r\n\r\n", 1), 400, "bad_request", [2]string{}},
		{"long header", upgradeWith("X-Long", strings.Repeat("x", http1.MaxHead)), 400, "bad_request", [2]string{}},
		{"a position that cannot be decoded", upgradeWith("", "GET "+ConnectPath+"?since=%zz HTTP/1.1"), 400, "bad_request", [2]string{}},
		{"two positions", upgradeWith("", "GET "+ConnectPath+"?since=7-42&s%69nce=7-41 HTTP/1.1"), 400, "bad_request", [2]string{}},
		{"a replay that is not UTF-8", upgradeWith("", "GET "+ConnectPath+"?replay=latest%ff HTTP/1.1"), 400, "bad_request", [2]string{}},
		{"a position with a semicolon", upgradeWith("", "GET "+ConnectPath+"?since=7-42;x HTTP/1.1"), 400, "bad_request", [2]string{}},
		{"a replay that cannot be decoded", upgradeWith("", "GET "+ConnectPath+"?a=1&replay=%2 HTTP/1.1"), 400, "bad_request", [2]string{}},
		{"a web page", upgradeWith("Origin", "https://example.com"), 403, "forbidden", [2]string{}},
		{"a page without an origin", upgradeWith("Origin", "null"), 403, "forbidden", [2]string{}},
		{"two origins", strings.Replace(upgradeWith(), "\r\n\r\n", "\r\nOrigin: https://a.example\r\nOrigin: https://a.example\r\n\r\n", 1), 400, "bad_request", [2]string{}},
		{"no end", "GET " + ConnectPath + " HTTP/1.1\r\n" + strings.Repeat("x", http1.MaxHead+100), 400, "bad_request", [2]string{}},
		{"a token that cannot be verified", upgradeWith("api-key", "gc_unverified"), 503, "unavailable", [2]string{"Retry-After", "5"}},
		{"no such path", "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not_found", [2]string{}},
		{"a platform's path", "POST /api/internal/v1/gateways/g/manifest HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 503, "unavailable", [2]string{"Retry-After", "5"}},
	} {
		for _, useTLS := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/tls=%v", c.name, useTLS), func(t *testing.T) {
				h := newTestFront(t, useTLS, nil)
				resp, body := h.request(c.request)
				checkRefusal(t, resp, body, c.status, c.code)
				if name, want := c.header[0], c.header[1]; name != "" && resp.Header.Get(name) != want {
					t.Errorf("%s: %q, want %q", name, resp.Header.Get(name), want)
				}
				if n := h.Live(); n != 0 {
					t.Errorf("%d connections count against the limit, want 0", n)
				}
			})
		}
	}
}

func checkRefusal(t *testing.T, resp *http.Response, body string, status int, code string) {
	t.Helper()
	var e struct{ Error, Message string }
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	if resp.StatusCode != status || e.Error != code || e.Message == "" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s %q (%s), want %d %s", resp.StatusCode, e.Error, e.Message, resp.Header.Get("Content-Type"), status, code)
	}
	if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a browser can guess the type or cache it: %v", resp.Header)
	}
}

// The response is the same for every invalid token.
func TestUnauthorizedIsTheSame(t *testing.T) {
	h := newTestFront(t, true, nil)
	_, missing := h.request(upgradeWith("api-key", ""))
	_, wrong := h.request(upgradeWith("api-key", "gc_bad"))
	if missing != wrong {
		t.Errorf("%q and %q", missing, wrong)
	}
}

func TestUpgrade(t *testing.T) {
	for _, useTLS := range []bool{true, false} {
		t.Run(fmt.Sprintf("tls=%v", useTLS), func(t *testing.T) {
			h := newTestFront(t, useTLS, nil)
			r, resp := h.admit()
			if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
				t.Errorf("%v %v", resp.Status, resp.Header)
			}
			if n := h.Live(); n != 1 {
				t.Errorf("%d connections count against the limit, want 1", n)
			}
			if r.Peer.GatewayID != "g" || r.Peer.TokenID != "t" || !r.Remote.Addr().IsLoopback() {
				t.Errorf("registered %+v", r)
			}
			r.Closed()
			if n := h.Live(); n != 0 {
				t.Errorf("%d connections count against the limit, want 0", n)
			}
		})
	}
}

func TestCapacity(t *testing.T) {
	h := newTestFront(t, true, func(c *Config) { c.Limits.Total = 2 })
	h.admit()
	second, _ := h.admit()
	resp, body := h.request(upgradeWith())
	checkRefusal(t, resp, body, 503, "capacity_exceeded")
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	second.Closed()
	h.admit() // the quota is free again
}

// Refused attempts block their address for everything but known credentials. A gateway
// that reconnects in a loop is limited by itself.
func TestRateLimit(t *testing.T) {
	var verified atomic.Int32
	h := newTestFront(t, true, func(c *Config) {
		c.Limiter = auth.NewAttemptLimiter(2)
		c.Known = func(token string) bool { return token == goodToken }
		verify := c.Verify
		c.Verify = func(token string) (*auth.Grant, error) {
			verified.Add(1)
			return verify(token)
		}
	})
	h.request(upgradeWith("api-key", "gc_bad"))
	if resp, _ := h.request("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("health: %s; it is no connection attempt", resp.Status)
	}
	h.request(upgradeWith("Sec-WebSocket-Key", ""))
	for _, request := range []string{upgradeWith("api-key", "gc_other"), upgradeWith("api-key", ""), upgradeWith("Upgrade", "")} {
		resp, body := h.request(request)
		checkRefusal(t, resp, body, 429, "rate_limited")
		if s := resp.Header.Get("Retry-After"); s == "" || s == "0" {
			t.Errorf("Retry-After: %q", s)
		}
	}
	if n := verified.Load(); n != 1 {
		t.Errorf("%d tokens were verified, want 1: the others are blocked", n)
	}
	for range 2 {
		h.admit()
	}
	resp, body := h.request(upgradeWith())
	checkRefusal(t, resp, body, 429, "rate_limited")
}

// An attempt that is refused for the node's own reasons does not count against its address.
func TestRateLimitOfUnreachablePlatform(t *testing.T) {
	h := newTestFront(t, true, func(c *Config) { c.Limiter = auth.NewAttemptLimiter(1) })
	for range 3 {
		resp, body := h.request(upgradeWith("api-key", "gc_unverified"))
		checkRefusal(t, resp, body, 503, "unavailable")
	}
}

func TestUnavailable(t *testing.T) {
	h := newTestFront(t, true, nil)
	h.available.Store(false)
	resp, body := h.request(upgradeWith())
	checkRefusal(t, resp, body, 503, "unavailable")
}

// A request that completes during a drain is refused with draining. A silent connection
// does not delay the drain.
func TestDrain(t *testing.T) {
	h := newTestFront(t, true, nil)
	request := upgradeWith()
	c, silent := h.send(request[:20]), h.dial()
	if err := silent.(*tls.Conn).Handshake(); err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	go func() { h.drain(); close(drained) }()
	for !h.draining.Load() { // nothing signals the change of this flag
		runtime.Gosched()
	}
	io.WriteString(c, request[20:])
	resp, body := h.response(c)
	checkRefusal(t, resp, body, 503, "draining")
	<-drained
	if _, err := net.Dial("tcp", h.addr); err == nil {
		t.Error("still accepting")
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("the silent connection is still open")
	}
}

// A head is found in pieces of any size, and the bytes after it are kept.
func TestReadHead(t *testing.T) {
	const head, rest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "early"
	for n := 1; n <= len(head+rest); n++ {
		r := &slowReader{head + rest, n}
		gotHead, gotRest, err := readHead(r, make([]byte, http1.MaxHead))
		if err != nil || gotHead.Text() != head {
			t.Fatalf("%d at a time: %v, %v", n, gotHead, err)
		}
		if got := string(gotRest) + r.s; got != rest {
			t.Errorf("%d at a time: rest %q", n, got)
		}
	}
	for n := 1; n < 9; n++ { // RFC 9112 section 2.2: empty lines before a request are ignored
		got, after, err := readHead(&slowReader{"\r\n\r\n" + head + "\r\n", n}, make([]byte, http1.MaxHead))
		if err != nil || got.Text() != head || len(after) > 2 {
			t.Errorf("after empty lines, %d at a time: %v, %v and %q", n, err, got, after)
		}
	}
	if _, _, err := readHead(&slowReader{head[:10], 3}, make([]byte, http1.MaxHead)); err != io.EOF {
		t.Errorf("half a head: %v", err)
	}
}

type slowReader struct {
	s string
	n int
}

func (r *slowReader) Read(b []byte) (int, error) {
	if r.s == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), r.n)], r.s)
	r.s = r.s[n:]
	return n, nil
}

func TestHTTPKeepsAlive(t *testing.T) {
	h := newTestFront(t, true, nil)
	c := h.dial()
	br := bufio.NewReader(c)
	for _, want := range []int{200, 404, 200, 503, 426} {
		path := map[int]string{200: "/health", 404: "/x", 503: "/api/internal/v1/apis/x", 426: ConnectPath}[want]
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
	}
}

func TestPositions(t *testing.T) {
	query := func(q string) string { return "GET " + ConnectPath + q + " HTTP/1.1" }
	h := newTestFront(t, false, nil)
	for _, c := range []struct {
		name    string
		changes []string
		want    *shard.Resume
	}{
		{"none", nil, nil},
		{"header", []string{"Last-Event-ID", "7-42"}, &shard.Resume{ResyncReason: "7-42"}},
		{"another spelling", []string{"last-event-id", "7-42", "REPLAY", "latest"}, &shard.Resume{ResyncReason: "7-42", Latest: true}},
		{"query", []string{"", query("?since=7-42&replay=latest")}, &shard.Resume{ResyncReason: "7-42", Latest: true}},
		{"both", []string{"", query("?since=7-1"), "Last-Event-ID", "7-42"}, &shard.Resume{ResyncReason: "7-42"}},
		{"empty", []string{"", query("?since="), "Last-Event-ID", " "}, nil},
		{"garbage", []string{"", query("?x=%zz&a;b&%zz=1&since=k%2D7"), "Replay", ""}, &shard.Resume{ResyncReason: "k-7"}},
		{"garbage beside a header", []string{"", query("?x=%zz"), "Last-Event-ID", "{}"}, &shard.Resume{ResyncReason: "{}"}},
		{"replay of nothing", []string{"Replay", "latest"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := h.admit(c.changes...)
			if diff := cmp.Diff(c.want, r.Resume); diff != "" {
				t.Error(diff)
			}
			r.Closed() // for the next
		})
	}
}
