// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// OpenSSL's s_client speaks no WebSocket, but TLS as its user types it: key updates
// in the middle of a connection, and one suite at a time.
func TestOpenSSL(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	for _, suite := range []string{
		"TLS_AES_128_GCM_SHA256",
		"TLS_AES_256_GCM_SHA384",
		"TLS_CHACHA20_POLY1305_SHA256", // crypto/tls's to the end
	} {
		t.Run(suite, func(t *testing.T) {
			g := s.addGateway(t)
			c := startSClient(t, s, suite)
			c.say(t, upgradeText(s.gateways, g.Token))
			c.await(t, "101 Switching Protocols")
			c.await(t, `"type":"connection.ack"`)
			for i, command := range []string{"", "K\n", "k\n", "K\n", "K\n"} {
				if command != "" { // K asks the server to change its key too, k does not
					c.say(t, command)
					c.await(t, "KEYUPDATE")
				}
				marker := fmt.Sprintf("event number %d", i)
				s.publish(t, draft{GatewayID: g.ID, Type: "api.deployed", Payload: marker + strings.Repeat(".", 20_000)})
				c.await(t, marker)
			}
			if n := len(s.connections(t, g)); n != 1 {
				t.Errorf("%d connections are left, want 1", n)
			}
		})
	}
}

func upgradeText(host, token string) string {
	return "GET " + connectPath + " HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\napi-key: " + token + "\r\n\r\n"
}

// An sClient is a running openssl s_client.
type sClient struct {
	typed io.WriteCloser

	mu      sync.Mutex
	printed bytes.Buffer
	more    chan struct{} // has a value when printed grew
}

// Write takes what is printed.
func (c *sClient) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
	return c.printed.Write(b)
}

func startSClient(t *testing.T, s *server, suite string) *sClient {
	t.Helper()
	c := &sClient{more: make(chan struct{}, 1)}
	cmd := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", s.gateways, "-tls1_3",
		"-ciphersuites", suite, "-CAfile", s.ca, "-verify_return_error")
	cmd.Stdout, cmd.Stderr = c, c
	var err error
	if c.typed, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; apt-get install openssl", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	c.await(t, "Cipher is "+suite)
	return c
}

func (c *sClient) say(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c.typed, text); err != nil {
		t.Fatal(err)
	}
}

// await waits until a text is printed, behind what was awaited before.
func (c *sClient) await(t *testing.T, text string) {
	t.Helper()
	late := time.After(patience)
	for {
		c.mu.Lock()
		i := bytes.Index(c.printed.Bytes(), []byte(text))
		if i >= 0 {
			c.printed.Next(i + len(text))
		}
		printed := c.printed.Len()
		c.mu.Unlock()
		if i >= 0 {
			return
		}
		select {
		case <-c.more:
		case <-late:
			t.Fatalf("s_client did not print %q; it printed %d other bytes", text, printed)
		}
	}
}

// curl asks twice on one connection, which goes back to crypto/tls and net/http,
// and upgrades.
func TestCurl(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	health := "https://" + s.gateways + "/health"
	out := run(t, "curl", "--silent", "--show-error", "--tlsv1.3", "--cacert", s.ca, "--write-out", "\n%{http_code} %{num_connects}\n", health, health)
	if want := "{\"status\":\"ok\"}\n200 1\n{\"status\":\"ok\"}\n200 0\n"; out != want {
		t.Errorf("curl printed %q, want %q", out, want)
	}
	g := s.addGateway(t)
	cmd := exec.CommandContext(t.Context(), "curl", "--silent", "--no-buffer", "--http1.1", "--include", "--tlsv1.3", "--cacert", s.ca,
		"--header", "Connection: Upgrade", "--header", "Upgrade: websocket", "--header", "Sec-WebSocket-Version: 13",
		"--header", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "--header", "api-key: "+g.Token, "https://"+s.gateways+connectPath)
	c := &sClient{more: make(chan struct{}, 1)}
	cmd.Stdout, cmd.Stderr = c, c
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; apt-get install curl", err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	c.await(t, "101 Switching Protocols")
	c.await(t, `"type":"connection.ack"`)
}

// Browsers send no api-key with a WebSocket, but they look at the health route.
func TestChromium(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	out := run(t, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(),
		"--ignore-certificate-errors", "--dump-dom", "https://"+s.gateways+"/health")
	if !strings.Contains(out, `{"status":"ok"}`) {
		t.Errorf("the page is %q", out)
	}
}

// run returns what a program prints.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v; apt-get install %[1]s", program, err)
	}
	return string(out)
}
