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
	"unicode/utf8"

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

// Each command's help has an example and fits a terminal of 80 columns; the help of each
// flag and argument has at most 12 words.
func TestHelp(t *testing.T) {
	var check func(n *kong.Node)
	check = func(n *kong.Node) {
		args := append(strings.Fields(n.FullPath())[1:], "--help")
		code, out, errs := gatecast("", args...)
		if code != 0 || errs != "" || !strings.Contains(out, "Usage: gatecast") || !strings.Contains(out, "\nExample") {
			t.Errorf("%v: exit %d, want usage and an example\n%s%s", args, code, out, errs)
		}
		for line := range strings.Lines(out) {
			if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("%v: more than 80 columns: %s", args, line)
			}
		}
		values := slices.Clone(n.Positional)
		for _, f := range n.Flags {
			values = append(values, f.Value)
		}
		for _, v := range values {
			if len(strings.Fields(v.Help)) > 12 || !strings.HasSuffix(v.Help, ".") {
				t.Errorf("%v: %s: %q has more than 12 words or no full stop", args, v.Name, v.Help)
			}
		}
		for _, child := range n.Children {
			check(child)
		}
	}
	check(newParser(new(cli)).Model.Node)
	if code, out, _ := gatecast("", "--version"); code != 0 || strings.TrimSpace(out) == "" {
		t.Errorf("--version: exit %d, %q", code, out)
	}
}

// No detail is left of a command that does not exist.
func TestDetailsHaveCommands(t *testing.T) {
	known := map[string]bool{"": true}
	var gather func(n *kong.Node)
	gather = func(n *kong.Node) {
		known[commandPath(n)] = true
		for _, child := range n.Children {
			gather(child)
		}
	}
	gather(newParser(new(cli)).Model.Node)
	for name := range details {
		if !known[name] {
			t.Errorf("there is no command %q", name)
		}
	}
}
