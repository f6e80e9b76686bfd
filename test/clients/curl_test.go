// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// curl returns a curl command that trusts the server's certificate.
func curl(t *testing.T, s *server, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{"--silent", "--show-error", "--no-buffer", "--http1.1", "--tlsv1.3", "--cacert", s.ca, "--max-time", "30"}, args...)
	return exec.CommandContext(t.Context(), installed(t, "curl", "curl"), args...)
}

// One connection serves several ordinary requests, with each cipher suite.
func TestCurl(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	for _, suite := range []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"} {
		t.Run(suite, func(t *testing.T) {
			url := "https://" + s.gateways + "/health"
			cmd := curl(t, s, "--tls13-ciphers", suite, "--write-out", " %{http_code} %{num_connects}\n", url, url)
			out, err := cmd.CombinedOutput()
			if want := "{\"status\":\"ok\"} 200 1\n{\"status\":\"ok\"} 200 0\n"; err != nil || string(out) != want {
				t.Errorf("curl prints %q, %v; want %q", out, err, want)
			}
		})
	}
}

func TestCurlUpgrades(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	upgrade := func(t *testing.T, token string) *exec.Cmd {
		return curl(t, s, "--include", "--header", "Connection: Upgrade", "--header", "Upgrade: websocket",
			"--header", "Sec-WebSocket-Version: 13", "--header", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
			"--header", "api-key: "+token, "https://"+s.gateways+connectPath)
	}
	t.Run("accepted", func(t *testing.T) {
		g := s.addGateway(t)
		cmd := upgrade(t, g.Token)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}()
		in := bufio.NewReader(stdout)
		response, err := http.ReadResponse(in, nil)
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("want 101; got %v, %v", response, err)
		}
		if f, err := readFrame(in); err != nil || !strings.Contains(string(f.Payload), `"connection.ack"`) {
			t.Fatalf("want the ack; got %q, %v", f.Payload, err)
		}
		want := s.publish(t, draft{GatewayID: g.ID, Type: "api.deployed", Payload: "hello"})
		if f, err := readFrame(in); err != nil || !strings.Contains(string(f.Payload), want.ID) {
			t.Errorf("want event %s; got %q, %v", want.ID, f.Payload, err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		out, err := upgrade(t, "nonsense").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "HTTP/1.1 401 ") || !strings.Contains(string(out), `"error":"unauthorized"`) {
			t.Errorf("curl prints %q, %v; want 401 and the reason", out, err)
		}
	})
}

// A browser shows the responses of the gateway port. It cannot connect as a gateway: its WebSocket
// sends no api-key header, and the server accepts no token elsewhere.
func TestChromium(t *testing.T) {
	s := startServer(t, "--rate-limit", "0")
	profile, err := os.MkdirTemp("", "gatecast-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(profile)
	cmd := exec.CommandContext(t.Context(), installed(t, "chromium", "chromium"), "--headless", "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--user-data-dir="+profile, "--ignore-certificate-errors", "--dump-dom", "https://"+s.gateways+"/health")
	cmd.WaitDelay = time.Second // its children can keep the pipe open
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), `{"status":"ok"}`) {
		t.Errorf("chromium shows %q, %v", out, err)
	}
}
