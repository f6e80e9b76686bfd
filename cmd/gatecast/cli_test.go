// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// A variable that is set but empty is as if it were not set, for every flag of every
// command.
func TestEmptyVariables(t *testing.T) {
	parse := func(t *testing.T, args []string) cli {
		var c cli
		parser := newParser(&c, kong.Writers(io.Discard, io.Discard))
		unsetEmpty(parser.Model.Node)
		if _, err := parser.Parse(args); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return c
	}
	variables := make(map[string]bool)
	var gather func(n *kong.Node)
	gather = func(n *kong.Node) {
		for _, f := range n.Flags {
			for _, name := range f.Envs {
				variables[name] = true
			}
		}
		for _, child := range n.Children {
			gather(child)
		}
	}
	parser := newParser(new(cli))
	if gather(parser.Model.Node); !variables["GATECAST_CONFIG"] || !variables["WS_MAX_CONNECTIONS"] || !variables["GATECAST_INTERNAL_CA"] {
		t.Fatalf("variables %v", slices.Sorted(maps.Keys(variables)))
	}
	for _, args := range [][]string{
		{"serve"}, {"health"}, {"demo"}, {"gateway", "add", "x"}, {"gateway", "list"}, {"gateway", "show", "x"}, {"gateway", "remove", "x"},
		{"token", "add", "x"}, {"token", "list", "x"}, {"token", "revoke", "x", "y"}, {"publish", "--all", "--type", "t"},
		{"tail", "--url", "wss://x", "--token", "t"}, {"stats"}, {"top"}, {"bench", "--url", "wss://x"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			want := fmt.Sprintf("%+v", parse(t, args))
			for name := range variables {
				t.Setenv(name, "")
			}
			if got := fmt.Sprintf("%+v", parse(t, args)); got != want {
				t.Errorf("with empty variables\n%s\nwithout\n%s", got, want)
			}
		})
	}
	t.Run("required all the same", func(t *testing.T) {
		t.Setenv("GATECAST_TOKEN", "")
		if code, _, errs := gatecast("", "tail", "--url", "wss://x"); code != 2 || !strings.Contains(errs, "--token") {
			t.Errorf("exit %d: %s", code, errs)
		}
	})
}

// A flag comes before the environment, the environment before the file, the file
// before the default.
func TestPrecedence(t *testing.T) {
	t.Setenv("WS_RATE_LIMIT_PER_MINUTE", "2")
	t.Setenv("WS_PING_INTERVAL", "2")
	t.Setenv("GATECAST_CONFIG", writeFile(t, "c.yaml", "rate-limit: 1\nping-interval: 1\nmax-payload: 64KiB\nplaintext: true\nlog-level: warn\nretention: 1h\n"))
	var c cli
	if _, err := newParser(&c).Parse([]string{"serve", "--ping-interval", "3"}); err != nil {
		t.Fatal(err)
	}
	cfg := c.Serve
	if cfg.PingInterval != 3*time.Second || cfg.RateLimit != 2 || cfg.MaxPayload != 64<<10 || !cfg.Plaintext || cfg.Retention != time.Hour || cfg.MaxConnections != 1000 {
		t.Errorf("%+v", cfg)
	}
	if c.Serve.LogLevel.String() != "WARN" {
		t.Errorf("log level %v", c.Serve.LogLevel)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"gateway", "add", "--help"}} {
		if code, out, errs := gatecast("", args...); code != 0 || errs != "" || !strings.Contains(out, "Usage:") {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, errs)
		}
	}
	if code, out, _ := gatecast("", "--version"); code != 0 || strings.TrimSpace(out) == "" {
		t.Errorf("--version: exit %d, %q", code, out)
	}
}
