// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A startingNode is a node that is not ready yet, and what it is asked.
type startingNode struct {
	*httptest.Server
	mu      sync.Mutex
	unready []int // statuses of /ready that come before 200
	asked   []string
	probes  chan struct{} // one element per probe of /ready
}

func newStartingNode(t *testing.T, unready ...int) *startingNode {
	n := &startingNode{unready: unready, probes: make(chan struct{}, 1000)}
	n.Server = httptest.NewServer(http.HandlerFunc(n.serve))
	t.Cleanup(n.Close)
	return n
}

func (n *startingNode) serve(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.URL.Path == "/ready" {
		n.probes <- struct{}{}
		if len(n.unready) > 0 {
			w.WriteHeader(n.unready[0])
			n.unready = n.unready[1:]
		}
		return
	}
	n.asked = append(n.asked, r.Method+" "+r.URL.Path)
	io.Copy(io.Discard, r.Body)
	if len(n.unready) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "{}")
}

// Commands that change something wait until a node that is starting is ready, and ask it
// once. Those that only read do not wait for that.
func TestCommandsWaitForReady(t *testing.T) {
	token := adminToken(t)
	for _, tt := range []struct {
		args  []string
		asked string
		waits bool
	}{
		{[]string{"gateway", "add", "edge"}, "POST /api/internal/v1/gateways", true},
		{[]string{"gateway", "remove", "edge"}, "DELETE /api/internal/v1/gateways/edge", true},
		{[]string{"token", "add", "edge"}, "POST /api/internal/v1/gateways/edge/tokens", true},
		{[]string{"token", "revoke", "edge", "t"}, "DELETE /api/internal/v1/gateways/edge/tokens/t", true},
		{[]string{"publish", "--all", "--type", "t"}, "POST /api/internal/v1/events", true},
		{[]string{"publish", "--stdin"}, "POST /api/internal/v1/events", true},
		{[]string{"gateway", "list"}, "GET /api/internal/v1/gateways", false},
		{[]string{"gateway", "show", "edge"}, "GET /api/internal/v1/gateways/edge", false},
		{[]string{"token", "list", "edge"}, "GET /api/internal/v1/gateways/edge/tokens", false},
		{[]string{"stats"}, "GET /api/internal/v1/stats", false},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			n := newStartingNode(t, 503, 502, 504, 503)
			code, _, errs := gatecast("{}\n", append(tt.args, "--internal-url", n.URL, "--admin-token-file", token)...)
			if !slices.Equal(n.asked, []string{tt.asked}) {
				t.Errorf("the node is asked %q, want %s once", n.asked, tt.asked)
			}
			if probes := len(n.probes); tt.waits && (code != 0 || probes != 5) || !tt.waits && (code != 1 || probes != 1) {
				t.Errorf("exit %d after %d probes: %s", code, probes, errs)
			}
		})
	}
}

// A node that never is ready is asked once all the same: its answer says why.
func TestCommandsAskUnready(t *testing.T) {
	impatient(t)
	n := newStartingNode(t, slices.Repeat([]int{503}, 1000)...)
	code, _, errs := gatecast("", "publish", "--all", "--type", "t", "--internal-url", n.URL, "--admin-token-file", adminToken(t))
	if code != 1 || len(n.asked) > 1 || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit %d, the node is asked %q: %s", code, n.asked, errs)
	}
}

// Each client command that runs before the node's first start waits for its token.
func TestCommandsWaitForToken(t *testing.T) {
	for _, args := range [][]string{
		{"gateway", "add", "edge"}, {"gateway", "list"}, {"gateway", "show", "edge"}, {"gateway", "remove", "edge"},
		{"token", "add", "edge"}, {"token", "list", "edge"}, {"token", "revoke", "edge", "t"},
		{"publish", "--all", "--type", "t"}, {"publish", "--stdin"}, {"stats"}, {"top", "--once"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			n := newStartingNode(t)
			dir := filepath.Join(t.TempDir(), "data") // which does not exist yet either
			token := filepath.Join(dir, "admin.token")
			ended := make(chan string, 1)
			go func() {
				code, _, errs := gatecast("", append(args, "--internal-url", n.URL, "--admin-token-file", token)...)
				ended <- fmt.Sprint(code, errs)
			}()
			made := adminToken(t)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(made, token); err != nil {
				t.Fatal(err)
			}
			if got := <-ended; got != "0" {
				t.Errorf("exit %s", got)
			}
		})
	}
}

// Which results of a probe lead to another one.
func TestProbe(t *testing.T) {
	token := adminToken(t)
	open := adminToken(t)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and does not respond, like a node that opens its log
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, tt := range []struct {
		name           string
		url, token     string
		changes, again bool
		says           string
	}{
		{"ready", newStartingNode(t).URL, token, true, false, ""},
		{"not ready, to change", newStartingNode(t, 503).URL, token, true, true, ""},
		{"not ready, to read", newStartingNode(t, 503).URL, token, false, false, ""},
		{"a proxy without that path", newStartingNode(t, 404).URL, token, true, false, ""},
		{"a connection that ends", closing(t), token, false, true, "127.0.0.1"},
		{"no token", newStartingNode(t).URL, "/nowhere", false, true, "is gatecast serve running"},
		{"a token for all", newStartingNode(t).URL, open, false, false, "chmod 600"},
		{"nobody there", "http://" + gone.Addr().String(), token, false, true, "is gatecast serve running"},
		{"no response", "http://" + silent.Addr().String(), token, false, true, "may still be opening its log"},
		{"no URL", "http://a b", token, false, false, "--internal-url"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			patience := 10 * time.Second
			if tt.name == "no response" {
				patience = 10 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			f := &adminFlags{InternalURL: tt.url, AdminTokenFile: tt.token}
			node, err := f.client("")
			var again bool
			if err == nil {
				defer node.Close()
				_, again, err = f.probe(ctx, node, tt.changes)
			}
			if again != tt.again || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("again %t, %v; want %t, %q", again, err, tt.again, tt.says)
			}
		})
	}
}

func TestCommandInterruptedWhileWaiting(t *testing.T) {
	n := newStartingNode(t, slices.Repeat([]int{503}, 1000)...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		c := gatewayRemoveCmd{adminFlags: adminFlags{InternalURL: n.URL, AdminTokenFile: adminToken(t)}, ID: "edge"}
		ended <- c.Run(ctx, world{})
	}()
	<-n.probes
	cancel()
	if err := <-ended; err == nil || len(n.asked) > 0 {
		t.Errorf("%v, the node is asked %q", err, n.asked)
	}
}

// closing returns the URL of a server that closes each connection, like a port forwarder
// whose server does not listen yet.
func closing(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(c).ReadString('\n')
			_ = c.Close()
		}
	}()
	return "http://" + ln.Addr().String()
}
