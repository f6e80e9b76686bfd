// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asProgram, in the environment, has the test binary be gatecast itself.
const asProgram = "GATECAST_TEST_AS_PROGRAM"

// update has tests write golden files and documents in place of comparing them.
var update = flag.Bool("update", false, "write testdata and docs/reference from the source")

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// impatient has client commands wait only a moment for a node, where a test is about
// one that is not there.
func impatient(t *testing.T) {
	was := startTimeout
	startTimeout = 500 * time.Millisecond
	t.Cleanup(func() { startTimeout = was })
}

// gatecast runs a command and returns its exit code and what it wrote.
func gatecast(in string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(context.Background(), args, world{strings.NewReader(in), &o, &e})
	return code, o.String(), e.String()
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// An errorCase is a command that must fail.
type errorCase struct {
	name string
	args []string
	env  [2]string // a variable and its value
	code int
	says string // part of the error
}

// checkErrors checks that each command prints its error as one line.
func checkErrors(t *testing.T, cases []errorCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.env[0] != "" {
				t.Setenv(c.env[0], c.env[1])
			}
			code, out, errs := gatecast("", c.args...)
			lines := strings.Split(strings.TrimSpace(errs), "\n")
			last := lines[len(lines)-1]
			if code != c.code || !strings.HasPrefix(last, "gatecast: ") || !strings.Contains(last, c.says) {
				t.Errorf("exit %d, want %d, with a line about %s:\n%s", code, c.code, c.says, errs)
			}
			for _, l := range lines[:len(lines)-1] {
				if !strings.HasPrefix(l, "{") { // a line of the node's log
					t.Errorf("more than one line: %s", l)
				}
			}
			if strings.Contains(errs, adminTokenText) {
				t.Error("the error shows the admin token")
			}
			if out != "" {
				t.Errorf("standard output: %s", out)
			}
		})
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	impatient(t)
	token := adminToken(t)
	checkErrors(t, []errorCase{
		{name: "no command", args: nil, code: 2, says: "--help"},
		{name: "unknown command", args: []string{"srve"}, code: 2, says: "srve"},
		{name: "unknown flag", args: []string{"serve", "--lisen", ":1"}, code: 2, says: "--lisen"},
		{name: "not a number", args: []string{"serve", "--max-connections", "many"}, code: 2, says: "--max-connections"},
		{name: "not a time", args: []string{"serve", "--ping-interval", "soon"}, code: 2, says: "want seconds"},
		{name: "not a size", args: []string{"serve", "--max-payload", "1MB"}, code: 2, says: "64MiB"},
		{name: "bad environment", args: []string{"serve"}, env: [2]string{"WS_MAX_CONNECTIONS", "x"}, code: 2, says: `gatecast: WS_MAX_CONNECTIONS: "x" is not a number; want digits`},
		{name: "bad environment of a client", args: []string{"bench"}, env: [2]string{"GATECAST_LISTEN", "x"}, code: 2, says: "--url"},
		{name: "out of range in the environment", args: []string{"serve"}, env: [2]string{"WS_MAX_CONNECTIONS", "0"}, code: 2, says: "gatecast: WS_MAX_CONNECTIONS: 0 is out of range; want at least 1"},
		{name: "bad value in the configuration", args: []string{"serve", "--config", writeFile(t, "c.yaml", "max-payload: big\n")}, code: 2, says: `gatecast: configuration file: max-payload: "big" is not a size`},
		{name: "out of range in the configuration", args: []string{"serve", "--config", writeFile(t, "c.yaml", "shards: 5000\n")}, code: 2, says: "gatecast: configuration file: shards: 5000 is out of range; want 0 (one per processor), or 1 to 1024"},
		{name: "the flag precedes the environment", args: []string{"serve", "--max-connections=-1"}, env: [2]string{"WS_MAX_CONNECTIONS", "5"}, code: 2, says: "gatecast: --max-connections: -1 is out of range"},
		{name: "contradiction", args: []string{"serve", "--ping-interval", "40"}, code: 2, says: "--connection-timeout"},
		{name: "no such configuration", args: []string{"serve", "--config", "/nowhere.yaml"}, code: 2, says: "nowhere.yaml"},
		{name: "unknown key", args: []string{"serve", "--config", writeFile(t, "c.yaml", "lisen: :1\n")}, code: 2, says: "lisen"},
		{name: "not YAML", args: []string{"serve", "--config", writeFile(t, "c.yaml", "a: b: c")}, code: 2, says: "YAML"},
		{name: "a list in the configuration", args: []string{"serve", "--config", writeFile(t, "c.yaml", "listen: [a]\n")}, code: 2, says: "single value"},
		{name: "no admin token", args: []string{"stats", "--admin-token-file", "/nowhere"}, code: 1, says: "--admin-token-file"},
		{name: "no node", args: []string{"stats", "--admin-token-file", token, "--internal-url", "http://127.0.0.1:1"}, code: 1, says: "is gatecast serve running"},
		{name: "nobody to publish to", args: []string{"publish", "--type", "t"}, code: 2, says: "--gateway"},
		{name: "two targets", args: []string{"publish", "--type", "t", "--all", "--group", "g"}, code: 2, says: "--all"},
		{name: "no type", args: []string{"publish", "--all"}, code: 2, says: "--type"},
		{name: "payload is not JSON", args: []string{"publish", "--all", "--type", "t", "--payload", "{"}, code: 2, says: "JSON"},
		{name: "no node to publish to", args: []string{"publish", "--all", "--type", "t", "--admin-token-file", token, "--internal-url", "http://127.0.0.1:1"}, code: 1, says: "is gatecast serve running"},
		{name: "no such authority", args: []string{"stats", "--admin-token-file", token, "--internal-ca", "/nowhere.pem"}, code: 1, says: "--internal-ca"},
		{name: "a bad authority", args: []string{"stats", "--admin-token-file", token, "--internal-ca", token}, code: 1, says: "no certificate in PEM"},
		{name: "a limit below 0", args: []string{"gateway", "list", "--limit", "-1"}, code: 2, says: "--limit"},
		{name: "tail without token", args: []string{"tail", "--url", "wss://x"}, code: 2, says: "--token"},
		{name: "tail of a bad CA file", args: []string{"tail", "--url", "wss://x", "--token", "t", "--ca-file", token}, code: 1, says: "--ca-file"},
	})
}

// A lineWriter hands on what is written to it, a write at a time.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

// adminTokenText is the token that [adminToken] writes.
var adminTokenText = strings.Repeat("x", 43)

// adminToken writes a file with an admin token and returns its path.
func adminToken(t *testing.T) string {
	t.Helper()
	return writeFile(t, "admin.token", adminTokenText+"\n")
}
