// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A balancer is a load balancer that keeps connections to the server, and forwards each request
// over any of them. It listens on a socket in a folder.
type balancer struct {
	name, install string
	command       func(config string) []string
	config        func(socket, server string, tls bool) string
}

var balancers = []balancer{
	{"nginx", "nginx", func(config string) []string {
		return []string{"nginx", "-e", "stderr", "-p", filepath.Dir(config), "-c", config}
	}, nginxConfig},
	{"haproxy", "haproxy", func(config string) []string { return []string{"haproxy", "-db", "-f", config} }, haproxyConfig},
}

func nginxConfig(socket, server string, tls bool) string {
	scheme := map[bool]string{true: "https", false: "http"}[tls]
	return fmt.Sprintf(`daemon off;
pid nginx.pid;
worker_processes 1;
events {}
http {
	access_log off;
	client_body_temp_path tmp-body; proxy_temp_path tmp-proxy; fastcgi_temp_path tmp-fastcgi; uwsgi_temp_path tmp-uwsgi; scgi_temp_path tmp-scgi;
	upstream gatecast { server %s; keepalive 8; }
	map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
	server {
		listen unix:%s;
		location / {
			proxy_pass %s://gatecast;
			proxy_ssl_verify off;
			proxy_http_version 1.1;
			proxy_set_header Host $host;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection $connection_upgrade;
		}
	}
}
`, server, socket, scheme)
}

func haproxyConfig(socket, server string, tls bool) string {
	secure := map[bool]string{true: " ssl verify none", false: ""}[tls]
	return fmt.Sprintf(`global
	nbthread 1
defaults
	mode http
	timeout connect 10s
	timeout client 60s
	timeout server 60s
	timeout tunnel 60s
frontend gateways
	bind unix@%s
	default_backend gatecast
backend gatecast
	http-reuse always
	server gatecast %s%s
`, socket, server, secure)
}

// start runs the balancer in front of a server until the test ends, and returns a client of it.
func (b balancer) start(t *testing.T, server string, tls bool) *http.Client {
	t.Helper()
	if _, err := exec.LookPath(b.name); err != nil {
		t.Fatalf("%v; run apt-get install -y %s", err, b.install)
	}
	dir, err := os.MkdirTemp("", "balancer-") // the path of t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	socket, config := filepath.Join(dir, "sock"), filepath.Join(dir, "config")
	if err := os.WriteFile(config, []byte(b.config(socket, server, tls)), 0o644); err != nil {
		t.Fatal(err)
	}
	args := b.command(config)
	cmd := exec.Command(args[0], args[1:]...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		once.Do(func() { _ = cmd.Process.Signal(os.Interrupt) })
		<-exited
		if t.Failed() {
			t.Logf("output of %s:\n%s", b.name, output.String())
		}
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	for end := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
		c, err := dial(t.Context(), "", "")
		if err == nil {
			c.Close()
			break
		}
		select {
		case <-exited:
			t.Fatalf("%s has ended:\n%s", b.name, output.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen: %v", b.name, err)
		}
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial}}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// A gateway connects over a connection that the balancer has used for other requests before, each
// time.
func TestBalancers(t *testing.T) {
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.RequestURI)
	}))
	t.Cleanup(platform.Close)
	for _, b := range balancers {
		for _, flags := range [][]string{{"--plaintext"}, {"--tls-records=own"}, {"--tls-records=stdlib"}} {
			t.Run(b.name+"/"+strings.Trim(flags[0], "-"), func(t *testing.T) {
				s := startServer(t, append(flags, "--rate-limit=0", "--platform-url="+platform.URL)...)
				g := s.addGateway(t)
				client := b.start(t, s.gateways, flags[0] != "--plaintext")
				const rounds = 20
				for i := range rounds {
					through(t, client, i)
					upgradeThrough(t, s, client, g)
				}
				// If an upgrade took a new connection, the other requests would share one
				// connection.
				if n := s.metric(t, `gatecast_connects_total{result="http"}`); n < rounds {
					t.Errorf("%s has made %v connections for %d requests: the upgrades used other connections", b.name, n, rounds)
				}
			})
		}
	}
}

// through sends an ordinary request.
func through(t *testing.T, client *http.Client, i int) {
	t.Helper()
	path := fmt.Sprintf("/api/internal/v1/apis/%d?a=1;b=%%zz", i)
	resp, err := client.Post("http://gatecast.test"+path, "text/plain", strings.NewReader(strings.Repeat("x", i*1000)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(body) != path {
		t.Fatalf("%s: %s %q", path, resp.Status, body)
	}
}

// upgradeThrough connects as a gateway, receives an event and closes.
func upgradeThrough(t *testing.T, s *server, client *http.Client, g gateway) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, "ws://gatecast.test/api/internal/v1/ws/gateways/connect", &websocket.DialOptions{
		HTTPClient: client, HTTPHeader: http.Header{"api-key": {g.Token}},
	})
	if err != nil {
		t.Fatalf("%v (%v)", err, resp)
	}
	defer c.CloseNow()
	if _, ack, err := c.Read(ctx); err != nil || !bytes.Contains(ack, []byte("connection.ack")) {
		t.Fatalf("%s, %v", ack, err)
	}
	receipt := s.publish(t, draft{GatewayID: g.ID, Type: "api.deployed"})
	if _, event, err := c.Read(ctx); err != nil || !bytes.Contains(event, []byte(receipt.ID)) {
		t.Fatalf("%s, %v; want %s", event, err, receipt.ID)
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

// metric returns the value of a metric, or 0 if the server does not have it.
func (s *server) metric(t *testing.T, name string) float64 {
	t.Helper()
	values, err := s.platform.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return values[name]
}
