// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// installed returns the path of a program, or skips the test.
func installed(t *testing.T, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed; run: apt-get install -y %s", program, pkg)
	}
	return path
}

// An sClient is openssl s_client. The test speaks WebSocket through it, and controls its TLS.
type sClient struct {
	t       *testing.T
	stdin   io.Writer
	in      *bufio.Reader // decrypted data
	notices <-chan string // lines of standard error
}

func startSClient(t *testing.T, s *server, suite string) *sClient {
	t.Helper()
	return startSClientWith(t, s, suite, "-tls1_3", "-ciphersuites", suite)
}

// startSClientWith starts it with a TLS version and a suite, which must be negotiated.
func startSClientWith(t *testing.T, s *server, suite string, version ...string) *sClient {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), installed(t, "openssl", "openssl"), append([]string{"s_client", "-connect", s.gateways,
		"-brief", // only decrypted data on standard output; commands still work
		"-CAfile", s.ca, "-verify_return_error", "-verify_ip", "127.0.0.1"}, version...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	notices, read := make(chan string, backlog), make(chan struct{})
	go func() {
		defer close(read)
		defer close(notices)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			notices <- lines.Text()
		}
	}()
	t.Cleanup(func() { // the test's context has killed it
		<-read
		_ = cmd.Wait()
	})
	watchdog := time.AfterFunc(timeout, func() { _ = cmd.Process.Kill() }) // this ends the read
	t.Cleanup(func() { watchdog.Stop() })
	c := &sClient{t, stdin, bufio.NewReader(stdout), notices}
	c.noticed("Ciphersuite: " + suite)
	return c
}

// noticed waits for a text on standard error.
func (c *sClient) noticed(want string) {
	c.t.Helper()
	var said []string
	for line := range c.notices {
		if line == want {
			return
		}
		said = append(said, line)
	}
	c.t.Fatalf("s_client has not said %q, but %q", want, said)
}

// command sends s_client a command: a letter at the start of a read of its input.
func (c *sClient) command(letter, answer string) {
	c.t.Helper()
	c.send([]byte(letter + "\n"))
	c.noticed(answer)
}

func (c *sClient) send(b []byte) {
	c.t.Helper()
	if _, err := c.stdin.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// upgrade upgrades, and reads the ack.
func (c *sClient) upgrade(g gateway) {
	c.t.Helper()
	c.send([]byte("GET " + connectPath + " HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\napi-key: " + g.Token + "\r\n\r\n"))
	response, err := http.ReadResponse(c.in, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		c.t.Fatalf("want 101; got %v, %v", response, err)
	}
	if first := c.frame(ws.OpText); !strings.Contains(first, `"connection.ack"`) {
		c.t.Fatalf("want the ack first; got %s", first)
	}
}

// frame returns the payload of the next frame.
func (c *sClient) frame(want ws.OpCode) string {
	c.t.Helper()
	f, err := readFrame(c.in)
	if err != nil || f.Header.OpCode != want || !f.Header.Fin {
		c.t.Fatalf("want a frame of type %d; got %+v, %v", want, f.Header, err)
	}
	return string(f.Payload)
}

// maxFrame is larger than any event of these tests.
const maxFrame = 1 << 20

// readFrame returns the next frame of the server.
func readFrame(r io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(r)
	if err != nil {
		return ws.Frame{}, err
	}
	if h.Length > maxFrame {
		return ws.Frame{}, fmt.Errorf("a frame of %d bytes", h.Length)
	}
	payload := make([]byte, h.Length)
	_, err = io.ReadFull(r, payload)
	return ws.Frame{Header: h, Payload: payload}, err
}

// gets publishes an event and checks that it is the next one to arrive.
func (c *sClient) gets(s *server, g gateway, payload string) {
	c.t.Helper()
	want := s.publish(c.t, draft{GatewayID: g.ID, Type: "api.deployed", Payload: payload})
	var e event
	var got string
	text := c.frame(ws.OpText)
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.ID != want.ID || json.Unmarshal(e.Payload, &got) != nil || got != payload {
		c.t.Fatalf("want event %s; got %.500s (%v)", want.ID, text, err)
	}
}

// pings checks that the server receives a ping and answers it.
func (c *sClient) pings() {
	c.t.Helper()
	c.send(ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame([]byte("there?")))))
	if got := c.frame(ws.OpPong); got != "there?" {
		c.t.Fatalf("the pong is %q", got)
	}
}

// OpenSSL updates its keys during a connection, and requests updates of the server's keys, with
// each suite of TLS 1.3.
func TestOpenSSLKeyUpdates(t *testing.T) {
	s := startServer(t, "--rate-limit", "0", "--ping-interval", "3600", "--connection-timeout", "7200")
	for _, suite := range []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			g := s.addGateway(t)
			c := startSClient(t, s, suite)
			c.upgrade(g)
			c.gets(s, g, "with the first keys")
			for i, letter := range []string{"K", "k", "k", "K", "K"} {
				c.command(letter, "KEYUPDATE")
				if i%2 == 0 {
					c.pings() // the next record uses the new keys
				}
				c.gets(s, g, fmt.Sprint("after ", letter))
				c.gets(s, g, strings.Repeat(letter, 100_000))
				c.pings()
			}
			c.send(ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))))
			if code, _ := ws.ParseCloseFrameData([]byte(c.frame(ws.OpClose))); code != ws.StatusNormalClosure {
				t.Errorf("want the same code; got %d", code)
			}
			if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil {
				t.Errorf("after the close frame: %q, %v", rest, err)
			}
		})
	}
}

// A TLS 1.2 client must not renegotiate: its connection ends, and others stay open.
func TestOpenSSLRenegotiation(t *testing.T) {
	s := startServer(t, "--rate-limit", "0", "--ping-interval", "3600", "--connection-timeout", "7200")
	const suite = "ECDHE-ECDSA-AES128-GCM-SHA256"
	g := s.addGateway(t)
	greedy := startSClientWith(t, s, suite, "-tls1_2", "-cipher", suite)
	other := startSClientWith(t, s, suite, "-tls1_2", "-cipher", suite)
	greedy.upgrade(g)
	other.upgrade(g)
	greedy.command("R", "RENEGOTIATING")
	if rest, _ := io.ReadAll(greedy.in); len(rest) > 0 {
		t.Errorf("received %q after it", rest)
	}
	other.gets(s, g, "still here")
}
