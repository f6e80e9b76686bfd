// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/settings"

	"github.com/gobwas/ws"
)

// A form is a way in which gateways' connections are secured.
type form struct {
	name    string
	change  func(*Config)
	version uint16 // of TLS; 0: plaintext
}

var forms = []form{
	{"plaintext", func(c *Config) { c.Plaintext = true }, 0},
	{"own records", func(c *Config) { c.TLSRecords = settings.TLSRecordsOwn }, tls.VersionTLS13},
	{"crypto/tls records", func(c *Config) { c.TLSRecords = settings.TLSRecordsStdlib }, tls.VersionTLS13},
	{"TLS 1.2", func(*Config) {}, tls.VersionTLS12},
}

// dialRaw connects to the gateways' port.
func (s *system) dialRaw(f form) net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.GatewayAddr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	if f.version != 0 {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: f.version, KeyLogWriter: s.logs.KeyLog()})
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	s.t.Cleanup(func() { c.Close() })
	return c
}

func upgradeText(token string, lines ...string) string {
	return "GET " + root + "/ws/gateways/connect HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\napi-key: " + token + "\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

// checkUpgraded reads the answer to an upgrade and the ack, and holds a conversation:
// the ping that was sent behind the request, an event, and the close.
func checkUpgraded(t *testing.T, s *system, c net.Conn, br *bufio.Reader, gateway string) {
	t.Helper()
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	frame := func(want ws.OpCode) []byte {
		t.Helper()
		f, err := readFrame(br)
		if err != nil || f.Header.OpCode != want {
			t.Fatalf("frame %v %q, %v; want %v", f.Header, f.Payload, err, want)
		}
		return f.Payload
	}
	// The ack comes first; the pong may come ahead of what was queued for it.
	if !bytes.Contains(frame(ws.OpText), []byte(`"connection.ack"`)) {
		t.Error("no ack")
	}
	if got := frame(ws.OpPong); string(got) != "early" {
		t.Errorf("pong %q", got)
	}
	id := s.publish(gateway, `"x"`)
	var event struct{ ID string }
	if err := json.Unmarshal(frame(ws.OpText), &event); err != nil || event.ID != id {
		t.Errorf("event %+v, %v; want %s", event, err, id)
	}
	if err := ws.WriteFrame(c, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")))); err != nil {
		t.Fatal(err)
	}
	frame(ws.OpClose)
}

// earlyPing is sent right behind an upgrade request.
var earlyPing = string(ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame([]byte("early")))))

// firsts are requests ahead of an upgrade on its connection.
var firsts = []struct {
	name, request, method string
	n                     int
}{
	{"health", "GET /health HTTP/1.1\r\nHost: h\r\n\r\n", "GET", 1},
	{"a HEAD", "HEAD /get HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD", 1},
	{"a POST with a length", "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "POST", 1},
	{"a POST in chunks", "POST /post HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n", "POST", 1},
	{"a POST of much", "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000), "POST", 1},
	{"204", "GET /204 HTTP/1.1\r\nHost: h\r\n\r\n", "GET", 1},
	{"304", "GET /304 HTTP/1.1\r\nHost: h\r\n\r\n", "GET", 1},
	{"401", "GET /401 HTTP/1.1\r\nHost: h\r\n\r\n", "GET", 1},
	{"chunks", "GET /chunks HTTP/1.1\r\nHost: h\r\n\r\n", "GET", 1},
	{"many", "GET /get HTTP/1.1\r\nHost: h\r\n\r\n", "GET", 100},
	{"empty lines between", "\r\nPOST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\r\n\r\n", "POST", 2},
}

func startPlatform(t *testing.T) *httptest.Server {
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/204", "/304", "/401":
			var status int
			fmt.Sscanf(r.URL.Path, "/%d", &status)
			w.WriteHeader(status)
		case "/chunks":
			for range 3 {
				_, _ = io.WriteString(w, "chunk")
				w.(http.Flusher).Flush()
			}
		default:
			_, _ = io.WriteString(w, "ok")
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// An upgrade may follow other requests on its connection, as balancers use theirs for
// whoever comes: answered, or not answered yet. What follows it is the gateway's.
func TestUpgradeAfterOtherRequests(t *testing.T) {
	for _, f := range forms {
		for _, platform := range []bool{true, false} { // without, nearly all is 404
			cfg := config(t)
			f.change(&cfg)
			if platform {
				cfg.PlatformURL = startPlatform(t).URL
			}
			s := start(t, cfg)
			token, _ := s.gateway("g")
			for _, first := range firsts {
				for _, pipelined := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/platform=%v/%s/pipelined=%v", f.name, platform, first.name, pipelined), func(t *testing.T) {
						s.t = t
						c := s.dialRaw(f)
						br := bufio.NewReader(c)
						upgrade := upgradeText(token) + earlyPing
						if pipelined {
							go io.WriteString(c, strings.Repeat(first.request, first.n)+upgrade)
						}
						for range first.n {
							if !pipelined {
								_, _ = io.WriteString(c, first.request)
							}
							resp, err := http.ReadResponse(br, &http.Request{Method: first.method})
							if err != nil || resp.Close {
								t.Fatalf("%v, %v", resp, err)
							}
							_, _ = io.Copy(io.Discard, resp.Body)
						}
						if !pipelined {
							_, _ = io.WriteString(c, upgrade)
						}
						checkUpgraded(t, s, c, br, "g")
					})
				}
			}
			s.t = t
			c := s.dialRaw(f)
			_, _ = io.WriteString(c, firsts[0].request+upgradeText(token)+earlyPing)
			eventually(t, "the connection is there", func() bool { return s.front.Live() == 1 })
			eventually(t, "net/http has nothing more to do with it", func() bool {
				return !strings.Contains(stacks(), "front.(*httpConn)")
			})
			c.Close()
		}
	}
}

// stacks returns the stacks of all goroutines.
func stacks() string {
	b := make([]byte, 4<<20)
	return string(b[:runtime.Stack(b, true)])
}

// Such an upgrade is refused as any other is, for what it has itself.
func TestUpgradeAfterOtherRequestsIsDecidedByItself(t *testing.T) {
	cfg := config(t)
	cfg.Plaintext = true
	cfg.RateLimit = 1
	cfg.TrustedProxies = loopback
	cfg.AllowFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	s := start(t, cfg)
	token, _ := s.gateway("g")
	ask := func(lines ...string) *http.Response {
		t.Helper()
		c := s.dialRaw(forms[0])
		br := bufio.NewReader(c)
		// A first request, of somebody else, is no attempt to connect.
		_, _ = io.WriteString(c, "GET /health HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n")
		if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v, %v", resp, err)
		} else {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		_, _ = io.WriteString(c, upgradeText(token, lines...))
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	for _, tt := range []struct {
		name   string
		lines  []string
		status int
	}{
		{"an address that may", []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 192.0.2.7:4711"}, 101},
		{"an address that may not", []string{"X-Forwarded-For: 192.0.2.7, 198.51.100.1"}, 403},
		{"no address", nil, 403},
		{"another token", []string{"X-Forwarded-For: 192.0.2.8", "api-key: other"}, 400},
		{"another token again", []string{`X-Forwarded-For: "[::ffff:192.0.2.8]:1"`, "api-key: other"}, 429},
		{"another neighbour", []string{"X-Forwarded-For: 192.0.2.9"}, 101},
	} {
		if resp := ask(tt.lines...); resp.StatusCode != tt.status || tt.status != 101 && !resp.Close {
			t.Errorf("%s: %v, want %d", tt.name, resp, tt.status)
		}
	}
}

// A late upgrade is refused with draining, on a new connection and on one that is
// there; and nothing else is cut off before its time.
func TestUpgradeWhileDraining(t *testing.T) {
	reached, release := make(chan struct{}), make(chan struct{})
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(reached)
		<-release
		_, _ = io.WriteString(w, "done")
	}))
	defer platform.Close()
	cfg := config(t)
	cfg.PlatformURL = platform.URL
	s := start(t, cfg)
	token, _ := s.gateway("g")
	s.connect(token) // does not answer its close frame, as nobody reads it: the drain waits for it
	inFlight := s.dialRaw(forms[1])
	_, _ = io.WriteString(inFlight, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	<-reached
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(t.Context()) }()
	eventually(t, "it drains", func() bool {
		c := s.dialRaw(forms[1])
		defer c.Close()
		_, _ = io.WriteString(c, upgradeText(token))
		br := bufio.NewReader(c)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == 101 {
			return false
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 503 || !strings.Contains(string(body), `"draining"`) || resp.Header.Get("Retry-After") == "" || !resp.Close {
			t.Errorf("%v %s", resp, body)
		}
		return true
	})
	close(release)
	resp, err := http.ReadResponse(bufio.NewReader(inFlight), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("the request in progress: %v, %v", resp, err)
	}
	if body, _ := io.ReadAll(resp.Body); string(body) != "done" {
		t.Errorf("%q", body)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// readFrame reads a frame of the server's.
func readFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}
