// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/node"
	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/test/testenv"
)

// All client commands reach an internal route with a private certificate by
// --internal-ca, and by its variable.
func TestInternalCA(t *testing.T) {
	cert, key := selfSignedPair(t)
	o := newOperatorOf(t, func(c *node.Config) { c.InternalTLSCert, c.InternalTLSKey = cert, key })
	t.Setenv("GATECAST_INTERNAL_URL", "https://"+o.node.InternalAddr().String())
	for _, args := range [][]string{
		{"gateway", "add", "edge", "--id", "edge"}, {"gateway", "list"}, {"gateway", "show", "edge"}, {"token", "list", "edge"}, {"stats"},
		{"publish", "--gateway", "edge", "--type", "t"}, {"top", "--once"}, {"health"}, o.bench("--connections", "2"),
	} {
		if args[0] != "bench" { // which has --insecure
			if code, _, errs := gatecast("", args...); code != 1 || !strings.Contains(errs, "certificate") {
				t.Errorf("%v without the authority: exit %d: %s", args, code, errs)
			}
		}
		if code, _, errs := gatecast("", append(args, "--internal-ca", cert)...); code != 0 {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
	t.Setenv("GATECAST_INTERNAL_CA", cert)
	o.text("stats")
	o.text("health")
	if code, _, errs := gatecast("", "stats", "--internal-ca", key); code != 1 || !strings.Contains(errs, "no certificate") {
		t.Errorf("a key for an authority: exit %d: %s", code, errs)
	}
}

// selfSignedPair returns the files of a certificate for loopback and its key, as a node
// makes them.
func selfSignedPair(t *testing.T) (cert, key string) {
	t.Helper()
	cfg := node.Defaults()
	cfg.Listen, cfg.InternalListen, cfg.DataDir, cfg.Log = "127.0.0.1:0", "127.0.0.1:0", t.TempDir(), settings.LogMemory
	n, err := node.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(cfg.DataDir, "self-signed.crt"), filepath.Join(cfg.DataDir, "self-signed.key")
}

// An operator is someone at a shell, with a node to work on.
type operator struct {
	t    *testing.T
	node *node.Node
	logs *testenv.Log // of the node, and what commands tell on standard error; no secret may be in it
}

func newOperator(t *testing.T) *operator { return newOperatorOf(t, func(*node.Config) {}) }

// newOperatorOf returns an operator of a node with other settings.
func newOperatorOf(t *testing.T, change func(*node.Config)) *operator {
	cfg := node.Defaults()
	cfg.Listen, cfg.InternalListen, cfg.DataDir, cfg.Log = "127.0.0.1:0", "127.0.0.1:0", t.TempDir(), settings.LogMemory
	change(&cfg)
	logs := testenv.NewLog(t)
	cfg.Logger = logs.Logger()
	n, err := node.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("GATECAST_INTERNAL_URL", "http://"+n.InternalAddr().String())
	t.Setenv("GATECAST_ADMIN_TOKEN_FILE", filepath.Join(cfg.DataDir, "admin.token"))
	logs.HideTokens(filepath.Join(cfg.DataDir, "admin.token"))
	logs.HidePEM(filepath.Join(cfg.DataDir, "self-signed.key"))
	return &operator{t, n, logs}
}

// run runs a command that must succeed and returns the JSON it prints.
func (o *operator) run(in string, args ...string) (answer map[string]any) {
	o.t.Helper()
	code, out, errs := gatecast(in, args...)
	if code != 0 || errs != "" {
		o.t.Fatalf("%v: exit %d: %s", args, code, errs)
	}
	if out != "" {
		if err := json.Unmarshal([]byte(out), &answer); err != nil {
			o.t.Fatalf("%v prints %q: %v", args, out, err)
		}
	}
	return answer
}

func TestOperatorsDay(t *testing.T) {
	o := newOperator(t)
	o.run("", "health")
	added := o.run("", "gateway", "add", "Frankfurt", "--id", "eu", "--org", "acme", "--group", "prod", "--group", "eu")
	if added["id"] != "eu" || added["organizationId"] != "acme" || !strings.HasPrefix(added["token"].(string), "gc_") {
		t.Errorf("added %v", added)
	}
	if got := o.run("", "gateway", "show", "eu"); got["name"] != "Frankfurt" || got["token"] != nil {
		t.Errorf("shown %v", got)
	}
	if got := o.run("", "gateway", "list", "--limit", "5"); len(got["gateways"].([]any)) != 1 {
		t.Errorf("list %v", got)
	}

	// A tail receives what is published, one event a line.
	ctx, stop := context.WithCancel(t.Context())
	lines, out := io.Pipe()
	states := make(lineWriter, 100)
	tail := tailCmd{URL: "wss://" + o.node.GatewayAddr().String(), Token: added["token"].(string), Insecure: true}
	ended := make(chan error)
	go func() { ended <- tail.Run(ctx, world{nil, out, io.MultiWriter(o.logs, states)}) }()
	if line := <-states; !strings.Contains(line, "connected as gateway eu") {
		t.Errorf("tail says %q", line)
	}
	events := bufio.NewScanner(lines)
	payload := writeFile(t, "payload.json", "{\n \"revision\": 7\n}")
	one := o.run("", "publish", "--gateway", "eu", "--type", "api.deployed", "--payload-file", payload, "--correlation-id", "c1")
	many := o.run(`{"group":"prod","type":"t","fields":{"userId":"u1"}}`+"\n", "publish", "--stdin")
	org := o.run("", "publish", "--org", "acme", "--type", "t")
	for _, want := range []map[string]any{
		{"id": one["id"], "correlationId": "c1", "type": "api.deployed"},
		{"id": many["id"], "type": "t", "userId": "u1"},
		{"id": org["id"], "type": "t"},
	} {
		if !events.Scan() {
			t.Fatal(events.Err())
		}
		var got map[string]any
		if err := json.Unmarshal(events.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("event %v, want %s %v", got, k, v)
			}
		}
	}
	stats := o.run("", "stats", "--gateway", "eu", "--limit", "1")
	if conns := stats["gatewayConnections"].(map[string]any)["connections"].([]any); len(conns) != 1 {
		t.Errorf("stats %v", stats)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("tail ends with %v", err)
	}

	second := o.run("", "token", "add", "eu", "--expires-in", "1h")
	if got := o.run("", "token", "list", "eu"); len(got["tokens"].([]any)) != 2 {
		t.Errorf("tokens %v", got)
	}
	o.run("", "token", "revoke", "eu", second["id"].(string))
	o.run("", "gateway", "remove", "eu")
	for says, args := range map[string][]string{
		"not_found":    {"gateway", "show", "eu"},
		"want 1 to 64": {"gateway", "add", "x", "--id", "a b"},
		"nope":         {"publish", "--gateway", "nope", "--type", "t"},
	} {
		code, _, errs := gatecast("", args...)
		io.WriteString(o.logs, errs)
		if code != 1 || !strings.Contains(errs, says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
	if code, out, errs := gatecast("nonsense\n", "publish", "--stdin"); code != 1 || !strings.Contains(out, `"line":1`) || !strings.Contains(errs, "not published: 1") {
		t.Errorf("a bad line: exit %d\n%s%s", code, out, errs)
	}
}
