// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/test/spectest"
	"github.com/gatecast/gatecast/test/testenv"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp's own, which end some seconds after its server.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	)
}

// A system is a node and a platform's view of it.
type system struct {
	*Node
	t     testing.TB
	cfg   Config
	admin string
	http  *http.Client
	logs  *testenv.Log // of the node, but for a benchmark's; no secret may be in it
}

// config returns the configuration of a node on free ports.
func config(t testing.TB) Config {
	cfg := Defaults()
	cfg.Listen, cfg.InternalListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.DataDir = t.TempDir()
	cfg.RateLimit = 0
	cfg.Log = settings.LogMemory
	cfg.Shards = 3
	cfg.ShutdownTimeout = 10 * time.Second
	return cfg
}

// start starts a node, which is drained at the test's end unless the test did.
func start(t testing.TB, cfg Config) *system {
	t.Helper()
	logs := testenv.NewLog(t)
	if _, timed := t.(*testing.B); !timed && cfg.Logger == nil {
		cfg.Logger = logs.Logger()
	}
	n, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &system{Node: n, t: t, cfg: cfg, http: &http.Client{Transport: &spectest.Transport{T: t, Base: &http.Transport{}}}, logs: logs}
	s.hide()
	token, err := os.ReadFile(n.cfg.AdminTokenFile)
	if err != nil {
		t.Fatal(err)
	}
	s.admin = strings.TrimSpace(string(token))
	t.Cleanup(func() {
		if !n.draining.Load() {
			s.drain()
		}
		s.http.CloseIdleConnections()
		s.hide()
	})
	return s
}

// hide has the log looked through for the secrets that the node was given, and those
// it has made.
func (s *system) hide() {
	cfg := s.Node.cfg
	s.logs.HideTokens(cfg.AdminTokenFile)
	for _, file := range []string{cfg.TLSKey, cfg.InternalTLSKey, filepath.Join(cfg.DataDir, "self-signed.key")} {
		s.logs.HidePEM(file)
	}
	for text := range strings.SplitSeq(strings.Join([]string{cfg.Log, cfg.PlatformURL, cfg.VerifyURL, cfg.OTLPEndpoint}, ","), ",") {
		if u, err := url.Parse(text); err == nil {
			password, _ := u.User.Password()
			s.logs.Hide("a password", password)
		}
	}
}

func (s *system) drain() {
	s.t.Helper()
	if err := s.Drain(context.Background()); err != nil {
		s.t.Error(err)
	}
}

// call does a request of the internal route and returns the answer's status and
// body, which into, if not nil, is filled from.
func (s *system) call(method, path string, body string, into any) int {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.InternalAddr().String()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	s.logs.Hide("an admin token", s.admin)
	req.Header.Set("Authorization", "Bearer "+s.admin)
	req.Header.Set("Content-Type", "application/json")
	if strings.Contains(strings.TrimSpace(body), "\n") {
		req.Header.Set("Content-Type", "application/x-ndjson")
	}
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			s.t.Fatalf("%s %s: %q: %v", method, path, answer, err)
		}
	}
	return resp.StatusCode
}

const root = "/api/internal/v1"

// gateway registers a gateway and returns its token and the token's id.
func (s *system) gateway(id string, groups ...string) (token, tokenID string) {
	s.t.Helper()
	body, _ := json.Marshal(map[string]any{"id": id, "name": id, "groups": groups})
	var answer struct{ Token, TokenID string }
	if status := s.call("POST", root+"/gateways", string(body), &answer); status != 201 {
		s.t.Fatalf("POST /gateways: %d", status)
	}
	return answer.Token, answer.TokenID
}

// publish publishes to a gateway and returns the event's id.
func (s *system) publish(gateway, payload string) string {
	s.t.Helper()
	var receipt struct{ ID string }
	body := fmt.Sprintf(`{"gatewayId":%q,"type":"api.deployed","payload":%s}`, gateway, payload)
	if status := s.call("POST", root+"/events", body, &receipt); status != 202 {
		s.t.Fatalf("POST /events: %d", status)
	}
	return receipt.ID
}

// A described connection holds its frames to the AsyncAPI document.
type described struct {
	*websocket.Conn
	t testing.TB
}

func (d described) Read(ctx context.Context) (websocket.MessageType, []byte, error) {
	kind, b, err := d.Conn.Read(ctx)
	if err == nil {
		spectest.CheckServerFrame(d.t, b)
	} else if code := websocket.CloseStatus(err); code != -1 {
		spectest.CheckCloseCode(d.t, int(code))
	}
	return kind, b, err
}

func (d described) Write(ctx context.Context, kind websocket.MessageType, b []byte) error {
	spectest.CheckGatewayFrame(d.t, b)
	return d.Conn.Write(ctx, kind, b)
}

// A replica is one connection of a gateway.
type replica struct {
	described
	ack map[string]any
}

func (s *system) url() string {
	scheme := "wss"
	if s.cfg.Plaintext {
		scheme = "ws"
	}
	return scheme + "://" + s.GatewayAddr().String() + root + "/ws/gateways/connect"
}

// dispatched waits until the dispatcher has given the shards everything that this node
// has a receipt for, or knows of from other nodes. A publish is answered once the log
// has the event, which may be before its dispatch: a connection made in between still
// gets the event live. Tests that say which events a new connection gets wait here
// first; a node that cannot read its log is not waited for.
func (s *system) dispatched() {
	s.t.Helper()
	last := s.log.Last().Seq
	eventually(s.t, "everything published is dispatched", func() bool {
		return s.dispatcher.Position() >= last || !s.dispatcher.Healthy()
	})
}

// dial connects as a gateway; the answer is the refusal when err is not nil.
func (s *system) dial(token, since string) (described, *http.Response, error) {
	s.logs.Hide("a gateway's token", token)
	c, resp, err := websocket.Dial(s.t.Context(), s.url(), &websocket.DialOptions{
		HTTPHeader: http.Header{"api-key": {token}, "Last-Event-ID": {since}},
		HTTPClient: &http.Client{Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, KeyLogWriter: s.logs.KeyLog()},
			DisableKeepAlives: true,
		}},
	})
	return described{c, s.t}, resp, err
}

// connect connects as a gateway and reads the ack.
func (s *system) connect(token string) *replica { s.t.Helper(); return s.resume(token, "") }

// resume connects as a gateway that was at a position.
func (s *system) resume(token, since string) *replica {
	s.t.Helper()
	s.dispatched()
	c, _, err := s.dial(token, since)
	if err != nil {
		s.t.Fatal(err)
	}
	c.SetReadLimit(4 << 20)
	s.t.Cleanup(func() { c.CloseNow() })
	r := &replica{described: c}
	r.ack = r.next()
	if r.ack["type"] != "connection.ack" {
		s.t.Fatalf("the first frame is %v", r.ack)
	}
	return r
}

// next reads the next frame.
func (r *replica) next() map[string]any {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	kind, b, err := r.Read(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	var frame map[string]any
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&frame); err != nil || kind != websocket.MessageText {
		r.t.Fatalf("frame %q: %v", b, err)
	}
	return frame
}

// expect reads events with the given ids.
func (r *replica) expect(ids ...string) {
	r.t.Helper()
	for _, id := range ids {
		if frame := r.next(); frame["id"] != id {
			r.t.Fatalf("event %v, want %s", frame, id)
		}
	}
}

// closed reads to the end and returns the close code.
func (r *replica) closed() websocket.StatusCode {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		if _, _, err := r.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}
