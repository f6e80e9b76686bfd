// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/frame"
	"github.com/gatecast/gatecast/test/spectest"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testToken = "gw_secret"

const connectionID = "0197b5a0-0000-7000-8000-000000000001"

const ackText = `{"type":"connection.ack","gatewayId":"gw-1","connectionId":"` + connectionID + `","timestamp":"2026-01-02T03:04:05.000000006Z","cursor":"k3f9-1041","resumed":false}`

func eventText(n int) string {
	return fmt.Sprintf(`{"id":"k3f9-%d","type":"api.deployed","payload":{"n":%d},"gatewayId":"gw-1","timestamp":"2026-01-02T03:04:05.000000000Z","correlationId":"x"}`, n, n)
}

// The texts of the test server conform to the AsyncAPI document.
func TestServerTextsConform(t *testing.T) {
	for _, text := range []string{ackText, resumedText, resyncText, eventText(1)} {
		spectest.CheckServerFrame(t, []byte(text))
	}
}

// A peer is the server's end of an upgraded connection. Its methods fail the test if the client
// does not do what they expect.
type peer struct {
	t       *testing.T
	conn    net.Conn
	decoder frame.Decoder
	buf     [4096]byte
	rest    []byte
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Errorf("server's write: %v", err)
	}
}

func (p *peer) text(s string) { p.t.Helper(); p.write(frame.Append(nil, frame.OpText, []byte(s))) }
func (p *peer) ack()          { p.t.Helper(); p.text(ackText) }
func (p *peer) event(n int)   { p.t.Helper(); p.text(eventText(n)) }
func (p *peer) close(code CloseCode, reason string) {
	p.t.Helper()
	p.write(frame.AppendClose(nil, frame.CloseCode(code), reason))
}

// read returns the client's next message, or one with Op 0 at the end of the connection. Texts
// must conform to the AsyncAPI document.
func (p *peer) read() frame.Message {
	p.t.Helper()
	for {
		m, n, err := p.decoder.Next(p.rest, 1<<20)
		if err != nil {
			p.t.Errorf("client broke the protocol: %v", err)
			return frame.Message{}
		}
		p.rest = p.rest[n:]
		if m.Op == frame.OpText {
			spectest.CheckGatewayFrame(p.t, m.Payload)
		}
		if m.Op != 0 {
			return m
		}
		if n, err = p.conn.Read(p.buf[:]); err != nil {
			return frame.Message{}
		}
		p.rest = p.buf[:n]
	}
}

// receives reads a text from the client.
func (p *peer) receives(want string) {
	p.t.Helper()
	if m := p.read(); m.Op != frame.OpText || string(m.Payload) != want {
		p.t.Errorf("client sent opcode %d %q, want %s", m.Op, m.Payload, want)
	}
}

// pinged pings the client and reads its pong.
func (p *peer) pinged(payload string) {
	p.t.Helper()
	p.write(frame.Append(nil, frame.OpPing, []byte(payload)))
	if m := p.read(); m.Op != frame.OpPong || string(m.Payload) != payload {
		p.t.Errorf("ping %q was answered by opcode %d %q", payload, m.Op, m.Payload)
	}
}

// closed reads the client's close frame, and the end of the connection after it.
func (p *peer) closed(want CloseCode) {
	p.t.Helper()
	m := p.read()
	if code, reason := frame.ParseClose(m.Payload); m.Op != frame.OpClose || CloseCode(code) != want {
		p.t.Errorf("client sent opcode %d, code %d %q, want a close with %d", m.Op, code, reason, want)
	}
	p.ended()
}

// closedNormally reads the close frame of a client that closes the connection, and answers it.
func (p *peer) closedNormally() {
	p.t.Helper()
	m := p.read()
	if code, _ := frame.ParseClose(m.Payload); m.Op != frame.OpClose || CloseCode(code) != CloseNormal {
		p.t.Errorf("client sent opcode %d %q, want a close frame with 1000", m.Op, m.Payload)
	}
	p.close(CloseNormal, "")
	p.ended()
}

// ended reads the end of the connection.
func (p *peer) ended() {
	p.t.Helper()
	if m := p.read(); m.Op != 0 {
		p.t.Errorf("client sent opcode %d %q, want the end", m.Op, m.Payload)
	}
}

// serveTLS runs script for every connection to a TLS server on a real socket, and returns the
// config to connect to it.
func serveTLS(t *testing.T, script func(*peer, *http.Request)) Config {
	done := make(chan struct{}, 16)
	var begun atomic.Int32
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		defer func() { done <- struct{}{} }()
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		defer conn.Close()
		script(&peer{t: t, conn: conn}, r)
	}))
	t.Cleanup(func() {
		srv.Close()
		for range begun.Load() {
			<-done // Server.Close does not wait for hijacked connections
		}
	})
	return tlsConfig(srv)
}

func tlsConfig(srv *httptest.Server) Config {
	return Config{
		URL:   strings.Replace(srv.URL, "https", "wss", 1),
		Token: testToken,
		TLS:   srv.Client().Transport.(*http.Transport).TLSClientConfig,
	}
}

// dialTLS connects to a server that runs script.
func dialTLS(t *testing.T, script func(*peer, *http.Request)) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), serveTLS(t, script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A pipeServer is a server at the other end of in-memory connections, for tests in a synctest
// bubble. Dial number n runs script n; a dial after the last script ends the test's context.
type pipeServer struct {
	t       *testing.T
	scripts []func(net.Conn)
	cancel  context.CancelFunc
	dialed  []time.Time
}

// servePipes returns a server for the scripts, a config to connect to it, and a context that ends
// after them.
func servePipes(t *testing.T, scripts ...func(net.Conn)) (*pipeServer, Config, context.Context) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	p := &pipeServer{t: t, scripts: scripts, cancel: cancel}
	cfg := Config{
		URL:     "ws://gatecast.test",
		Token:   testToken,
		NetDial: p.dial,
		Handler: func(context.Context, Event) error { return nil },
		NoAcks:  true, // a pipe has no buffer: a write waits for a read
	}
	return p, cfg, ctx
}

func (p *pipeServer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n := len(p.dialed)
	p.dialed = append(p.dialed, time.Now())
	if n >= len(p.scripts) {
		p.cancel()
		return nil, ctx.Err()
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		p.scripts[n](theirs)
	}()
	return ours, nil
}

// upgraded returns a script that upgrades, acks, and then runs script.
func upgraded(t *testing.T, script func(*peer)) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := ws.Upgrade(conn); err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		p := &peer{t: t, conn: conn}
		p.ack()
		script(p)
	}
}

// closesWith acks and closes.
func closesWith(t *testing.T, code CloseCode) func(net.Conn) {
	return upgraded(t, func(p *peer) {
		p.close(code, "")
		p.closed(code)
	})
}

// refuses answers the upgrade request with an HTTP response.
func refuses(t *testing.T, status int, header, body string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			t.Errorf("request: %v", err)
		}
		_, err := fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\n%sContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), header, len(body), body)
		if err != nil && err != io.ErrClosedPipe {
			t.Errorf("response: %v", err)
		}
	}
}

// upgradeInto reads the upgrade request from conn and writes the response to w.
func upgradeInto(t *testing.T, conn io.Reader, w io.Writer) {
	_, err := ws.Upgrade(struct {
		io.Reader
		io.Writer
	}{conn, w})
	if err != nil {
		t.Errorf("upgrade: %v", err)
	}
}

// discard is the log of servers whose errors a test causes on purpose.
var discard = log.New(io.Discard, "", 0)
