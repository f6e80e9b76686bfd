// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatecast/gatecast/bench"
	"github.com/gatecast/gatecast/internal/node"
)

// benchConns is fewer than the attempts that a node takes from an address by
// default.
const benchConns = 8

// bench returns the arguments of a load on the operator's node.
func (o *operator) bench(args ...string) []string {
	return append([]string{
		"bench", "--url", "wss://" + o.node.GatewayAddr().String(), "--insecure",
		"--connections", fmt.Sprint(benchConns), "--rate", "200", "--for", "200ms",
	}, args...)
}

// benchCommand returns the command for such a load, without the command line.
func (o *operator) benchCommand() *benchCmd {
	return &benchCmd{
		adminFlags: adminFlags{InternalURL: os.Getenv("GATECAST_INTERNAL_URL"), AdminTokenFile: os.Getenv("GATECAST_ADMIN_TOKEN_FILE")},
		URL:        "wss://" + o.node.GatewayAddr().String(), Insecure: true,
		Connections: benchConns, Rate: 200, For: time.Hour, EventBytes: 200, Publishers: 2, Dialers: 4,
	}
}

// text runs a command that must succeed and returns what it prints.
func (o *operator) text(args ...string) string {
	o.t.Helper()
	code, out, errs := gatecast("", args...)
	if code != 0 {
		o.t.Fatalf("%v: exit %d: %s", args, code, errs)
	}
	return out
}

// checkRemoved checks that no gateway is left behind.
func (o *operator) checkRemoved(t *testing.T) {
	t.Helper()
	if left := o.run("", "gateway", "list")["gateways"].([]any); len(left) > 0 {
		t.Errorf("gateways are left: %v", left)
	}
}

func TestBench(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   []string
		factor float64 // deliveries of an event
	}{
		{"to each by turns", nil, 1},
		{"to gateways of several connections", []string{"--gateways", "4", "--publishers", "3"}, 2},
		{"to all", []string{"--all"}, benchConns},
		{"of large events", []string{"--event-bytes", "50000"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOperator(t)
			code, out, errs := gatecast("", o.bench(append(tt.args, "--json")...)...)
			if code != 0 || errs != "" {
				t.Fatalf("exit %d: %s", code, errs)
			}
			var r bench.Result
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatalf("%v in\n%s", err, out)
			}
			published, _ := r.Figure("published")
			if delivered, _ := r.Figure("delivered"); published < 1 || delivered != tt.factor*published {
				t.Errorf("%v events, %v deliveries; want %v for each event", published, delivered, tt.factor)
			}
			for _, name := range []string{"lost", "duplicates", "disconnected"} {
				if v, ok := r.Figure(name); !ok || v != 0 {
					t.Errorf("%s: %v, %t; want 0", name, v, ok)
				}
			}
			o.checkRemoved(t)
		})
	}
}

// The defaults suit a node with its defaults, but for how long they take.
func TestBenchDefaults(t *testing.T) {
	o := newOperator(t)
	code, out, errs := gatecast("", "bench", "--url", "wss://"+o.node.GatewayAddr().String(), "--insecure", "--for", "100ms")
	if code != 0 || errs != "" || !strings.Contains(out, "10 connections") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	o.checkRemoved(t)
}

func TestBenchTable(t *testing.T) {
	o := newOperator(t)
	code, out, errs := gatecast("", o.bench()...)
	if code != 0 || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	for _, want := range []string{"8 connections", "connected", "published", "lost", "duplicates", "p99.9", "deliveries/s"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "server-cpu") {
		t.Errorf("the processor time of a server that may be anywhere:\n%s", out)
	}
}

// Events of others, to everybody, are no part of the load.
func TestBenchBesideOthers(t *testing.T) {
	o := newOperator(t)
	ctx, stop := context.WithCancel(t.Context())
	others := make(chan error, 1)
	go func() {
		var err error
		for err == nil && ctx.Err() == nil {
			if code, _, errs := gatecast("", "publish", "--all", "--type", "api.deployed"); code != 0 {
				err = errors.New(errs)
			}
		}
		others <- err
	}()
	code, out, errs := gatecast("", o.bench()...)
	stop()
	if err := <-others; err != nil {
		t.Error(err)
	}
	if code != 0 || errs != "" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestBenchInterrupted(t *testing.T) {
	o := newOperator(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out strings.Builder
	ended := make(chan error, 1)
	go func() { ended <- o.benchCommand().Run(ctx, world{nil, &out, nil}) }()
	for strings.Contains(o.text("stats"), `"totalEventsSent": 0,`) { // until something was delivered
		if len(ended) > 0 {
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "published") {
		t.Errorf("nothing was measured:\n%s", out.String())
	}
	o.checkRemoved(t)
}

func TestBenchInterruptedEarly(t *testing.T) {
	o := newOperator(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.benchCommand().Run(ctx, world{}); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("%v; want it to say that it was interrupted", err)
	}
	o.checkRemoved(t)
}

func TestBenchRefused(t *testing.T) {
	o := newOperatorOf(t, func(cfg *node.Config) { cfg.MaxConnections = 100 })
	code, out, errs := gatecast("", o.bench("--connections", "200")...)
	if code != 1 || out != "" || !strings.Contains(errs, "--max-connections 200 or more") || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit %d, want 1, with a line about --max-connections: %s%s", code, out, errs)
	}
	o.checkRemoved(t)
}

func TestBenchRemedies(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"too many attempts", &bench.RefusedError{Status: 429}, "--rate-limit 0"},
		{"too many attempts to wait for", &bench.PaceError{Made: 7, Err: &bench.RefusedError{Status: 429}}, "--rate-limit 0, or use --connections 7"},
		{"no room", fmt.Errorf("connect: %w", &bench.RefusedError{Status: 503, Code: "capacity_exceeded"}), "--max-connections 50 or more"},
		{"another admin token", &bench.RefusedError{Status: 401}, "--admin-token-file"},
		{"a certificate of nobody known", fmt.Errorf("TLS handshake: %w", &tls.CertificateVerificationError{Err: errors.New("unknown")}), "--insecure"},
		{"nobody there", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "is gatecast serve running"},
		{"the node drains", &bench.RefusedError{Status: 503, Code: "draining"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := (&benchCmd{Connections: 50}).explain(tt.err)
			if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.want) || tt.want == "" && err != tt.err {
				t.Errorf("%v; want it to say %q", err, tt.want)
			}
		})
	}
}

func TestBenchUsage(t *testing.T) {
	impatient(t)
	token := writeFile(t, "admin.token", strings.Repeat("x", 43)+"\n")
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no URL", []string{}, 2, "--url"},
		{"not a URL for gateways", []string{"--url", "https://x"}, 2, "want wss://HOST:PORT"},
		{"no host", []string{"--url", "wss:///"}, 2, "--url"},
		{"not an internal URL", []string{"--url", "ws://x", "--internal-url", "x:1"}, 2, "--internal-url"},
		{"no connections", []string{"--url", "ws://x", "--connections", "0"}, 2, "--connections"},
		{"more gateways than connections", []string{"--url", "ws://x", "--connections", "5", "--gateways", "6"}, 2, "--gateways: 6 is out of range; want 1 to 5"},
		{"no rate", []string{"--url", "ws://x", "--rate", "-1"}, 2, "--rate"},
		{"no time", []string{"--url", "ws://x", "--for", "0s"}, 2, "--for"},
		{"huge events", []string{"--url", "ws://x", "--event-bytes", "2000000"}, 2, "--event-bytes"},
		{"no admin token", []string{"--url", "ws://x", "--admin-token-file", "/nowhere"}, 1, "--admin-token-file"},
		{"a bad CA file", []string{"--url", "wss://x", "--ca-file", token}, 1, "--ca-file"},
		{"more than descriptors", []string{"--url", "ws://x", "--admin-token-file", token, "--connections", "1000000"}, 1, "descriptors"},
		{"no node", []string{"--url", "ws://127.0.0.1:1", "--admin-token-file", token, "--internal-url", "http://127.0.0.1:1"}, 1, "is gatecast serve running"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := gatecast("", append([]string{"bench"}, tt.args...)...)
			if code != tt.code || !strings.Contains(errs, tt.says) || strings.Count(errs, "\n") != 1 || out != "" {
				t.Errorf("exit %d, want %d, with a line about %s: %s%s", code, tt.code, tt.says, out, errs)
			}
		})
	}
}

func TestBenchTarget(t *testing.T) {
	token := writeFile(t, "admin.token", strings.Repeat("x", 43)+"\n")
	for _, tt := range []struct {
		name, url, internal string
		want                bench.Target
		tls, internalTLS    string // the names that certificates must have; "": no TLS
	}{
		{
			"as a node is by default", "wss://edge.example:9243", "http://127.0.0.1:9244",
			bench.Target{Gateways: "edge.example:9243", Internal: "127.0.0.1:9244"}, "edge.example", "",
		},
		{
			"plaintext inside", "ws://[::1]:9243/", "https://[::1]:9244/",
			bench.Target{Gateways: "[::1]:9243", Internal: "[::1]:9244"}, "", "::1",
		},
		{
			"behind proxies", "wss://edge.example/gate", "https://inside.example/cast/",
			bench.Target{Gateways: "edge.example:443", GatewayPath: "/gate", Internal: "inside.example:443", InternalPath: "/cast"},
			"edge.example", "inside.example",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := benchCmd{URL: tt.url, adminFlags: adminFlags{InternalURL: tt.internal, AdminTokenFile: token}}
			got, err := c.target()
			if err != nil {
				t.Fatal(err)
			}
			name := func(trust *tls.Config) string {
				if trust == nil {
					return ""
				}
				return trust.ServerName
			}
			if name(got.TLS) != tt.tls || name(got.InternalTLS) != tt.internalTLS {
				t.Errorf("TLS for %q and %q; want %q and %q", name(got.TLS), name(got.InternalTLS), tt.tls, tt.internalTLS)
			}
			got.TLS, got.InternalTLS = nil, nil
			if got != tt.want {
				t.Errorf("%+v; want %+v", got, tt.want)
			}
		})
	}
}
