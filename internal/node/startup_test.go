// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/settings"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

// A standIn is a platform as gateways see it. It checks that requests come as one
// that the node has passed on, but for those that say that they come directly.
type standIn struct {
	*httptest.Server
	t       testing.TB
	token   string        // the api-key that must come
	host    string        // whom the gateways asked
	release chan struct{} // closed to let an artifact go on
}

const directly = "Directly"

func newStandIn(t testing.TB) *standIn {
	p := &standIn{t: t, release: make(chan struct{})}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(directly) == "" {
		for name, want := range map[string]string{
			"api-key": p.token, "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": p.host,
		} {
			if got := r.Header.Values(name); !slices.Equal(got, []string{want}) {
				p.t.Errorf("%s %s came with %s: %q, want %q", r.Method, r.URL, name, got, want)
			}
		}
	}
	switch path := strings.TrimPrefix(r.URL.EscapedPath(), root); {
	case path == "/gateways/edge/manifest" && r.Method == http.MethodPost:
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"bytes":%d,"sum":"%x","complete":%t}`, n, sum.Sum(nil), err == nil)
	case path == "/apis" && r.Method == http.MethodGet:
		p.list(w, r)
	case path == "/apis/weather%2Fv1" && r.Method == http.MethodGet:
		p.artifact(w)
	default:
		p.t.Errorf("asked for %s %s", r.Method, r.URL)
	}
}

// list answers with the status that is asked for.
func (p *standIn) list(w http.ResponseWriter, r *http.Request) {
	status, err := strconv.Atoi(r.URL.Query().Get("status"))
	if err != nil || r.URL.Query().Get("of") != "a b/ü" {
		p.t.Errorf("listed with %q", r.URL.RawQuery)
	}
	h := w.Header()
	h["Date"] = []string{"Sun, 31 Jan 2027 10:00:00 GMT"}
	h["Set-Cookie"] = []string{"a=1", "b=2"}
	h.Set("ETag", `"7"`)
	h.Set("X-Request-Id", "r-1")
	h.Set("Retry-After", "2")
	if status == http.StatusNoContent || status == http.StatusNotModified {
		w.WriteHeader(status)
		return
	}
	h.Set("Trailer", "X-Sum")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"error":"the platform's own","message":"…"}`)
	h.Set("X-Sum", "of "+strconv.Itoa(status))
}

// artifact sends the first half of an artifact, and the second when it is let.
func (p *standIn) artifact(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Trailer", "X-Checksum")
	first, second := artifact()
	_, _ = w.Write(first)
	w.(http.Flusher).Flush()
	<-p.release
	_, _ = w.Write(second)
	w.Header().Set("X-Checksum", checksum(slices.Concat(first, second)))
}

// artifact returns an artifact's halves.
func artifact() (first, second []byte) {
	return bytes.Repeat([]byte("first "), 50_000), bytes.Repeat([]byte("second "), 50_000)
}

func checksum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// A caller is a gateway that asks, as well as it is connected.
type caller struct {
	t     testing.TB
	http  *http.Client
	base  string // of the node's gateway port
	token string
}

// do asks the platform, through the node.
func (e *caller) do(ctx context.Context, method, path string, body io.Reader, header ...string) *http.Response {
	e.t.Helper()
	return e.ask(ctx, method, e.base+root+path, body, header...)
}

func (e *caller) ask(ctx context.Context, method, url string, body io.Reader, header ...string) *http.Response {
	e.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("api-key", e.token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := e.http.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// An answered is all that a client can see of an answer.
type answered struct {
	Status          string
	Header, Trailer http.Header
	Length          int64
	Body            string
}

func (e *caller) read(resp *http.Response) answered {
	e.t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return answered{resp.Status, resp.Header, resp.Trailer, resp.ContentLength, string(body)}
}

// manifest posts a large manifest, of which nothing is sent before the platform
// wants it.
func (e *caller) manifest() {
	e.t.Helper()
	text := bytes.Repeat([]byte(`{"name":"weather","version":"v1"},`), 200_000)
	wanted := false
	ctx := httptrace.WithClientTrace(e.t.Context(), &httptrace.ClientTrace{Got100Continue: func() { wanted = true }})
	got := e.read(e.do(ctx, "POST", "/gateways/edge/manifest", bytes.NewReader(text), "Expect", "100-continue"))
	want := fmt.Sprintf(`{"bytes":%d,"sum":"%s","complete":true}`, len(text), checksum(text))
	if got.Status != "200 OK" || got.Body != want || !wanted {
		e.t.Errorf("manifest: %+v, want %s; got 100 Continue: %t", got, want, wanted)
	}
}

// The first minute of a gateway behind gatecast: one host and port for its
// connection and for all it asks of the platform.
func TestStartUp(t *testing.T) {
	p := newStandIn(t)
	cfg := config(t)
	cfg.Log = settings.LogFile
	cfg.PlatformURL = p.URL
	s := start(t, cfg)
	p.token, _ = s.gateway("edge")
	p.host = s.GatewayAddr().String()
	client := gatewayClient(t)
	client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute // none is sent unasked
	e := &caller{t: t, http: client, base: "https://" + p.host, token: p.token}

	r := s.connect(p.token)
	if r.ack["gatewayId"] != "edge" || r.ack["resumed"] != false {
		t.Errorf("acked with %v", r.ack)
	}
	e.manifest()
	for _, status := range []int{200, 204, 304, 404, 409, 422, 429, 500, 503} {
		const path = "/apis?of=a+b%2F%C3%BC&status="
		direct := e.read(e.ask(t.Context(), "GET", p.URL+root+path+strconv.Itoa(status), nil, directly, "yes"))
		through := e.read(e.do(t.Context(), "GET", path+strconv.Itoa(status), nil))
		if diff := cmp.Diff(direct, through); diff != "" {
			t.Errorf("status %d is not what the platform answers:\n%s", status, diff)
		}
		if !strings.HasPrefix(through.Status, strconv.Itoa(status)) {
			t.Errorf("asked for status %d, got %s", status, through.Status)
		}
	}

	payload := `{"apiId":"weather/v1","deploymentId":"d1"}`
	event := r.deployed(s.publish("edge", payload))
	resp := e.do(t.Context(), "GET", "/apis/weather%2Fv1", nil)
	first, second := artifact()
	half := make([]byte, len(first))
	if _, err := io.ReadFull(resp.Body, half); err != nil || !bytes.Equal(half, first) {
		t.Fatalf("the artifact does not stream: %v", err)
	}
	r.deployed(s.publish("edge", payload)) // the connection goes on meanwhile
	close(p.release)
	rest := e.read(resp)
	if whole := slices.Concat(half, []byte(rest.Body)); rest.Body != string(second) || rest.Trailer.Get("X-Checksum") != checksum(whole) {
		t.Errorf("an artifact of %d bytes with the trailer %v", len(whole), rest.Trailer)
	}

	ack(t, r, event)
	r.say(`{"type":"deployment.ack","payload":{"deploymentId":"d1","artifactId":"weather/v1","resourceType":"api","action":"deploy","status":"success","performedAt":"2027-01-31T10:00:00Z"}}`)
	eventually(t, "the event is acked", func() bool {
		return s.outcome(event) == outcomeJSON{Targets: 1, Delivered: 1, Acked: 1}
	})
	var said struct {
		Messages []struct {
			Type, GatewayID, ConnectionID, EventID string
			Payload                                struct{ DeploymentID, ArtifactID, Status string }
		}
	}
	if s.call("GET", root+"/messages?wait=30s", "", &said); len(said.Messages) != 1 {
		t.Fatalf("the platform hears %+v", said)
	}
	m := said.Messages[0]
	if m.Type != "deployment.ack" || m.GatewayID != "edge" || m.ConnectionID != r.ack["connectionId"] ||
		m.Payload.DeploymentID != "d1" || m.Payload.ArtifactID != "weather/v1" || m.Payload.Status != "success" {
		t.Errorf("the platform hears %+v", m)
	}
}

// deployed reads the event with an id, which is about a deployment, and returns
// its id.
func (r *replica) deployed(id string) string {
	r.t.Helper()
	frame := r.next()
	payload, _ := json.Marshal(frame["payload"])
	if frame["id"] != id || frame["type"] != "api.deployed" || frame["gatewayId"] != "edge" || string(payload) != `{"apiId":"weather/v1","deploymentId":"d1"}` {
		r.t.Fatalf("event %v, want %s", frame, id)
	}
	return id
}

// say sends a text.
func (r *replica) say(text string) {
	r.t.Helper()
	if err := r.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		r.t.Fatal(err)
	}
}
