// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// otherFlags are flags that documents mention and that belong to other programs.
var otherFlags = map[string]string{
	"--home-dir": "useradd", "--shell": "useradd", "--system": "useradd", "--now": "systemctl", "--tls": "test/echo",
}

var (
	flagName    = regexp.MustCompile(`(?:^|[\s` + "`" + `(])(--[a-z][a-z-]+)`)
	environment = regexp.MustCompile(`\b((?:GATECAST|WS)_[A-Z][A-Z_]+[A-Z])\b`)
	command     = regexp.MustCompile(`(?m)^  ([a-z]+(?: [a-z]+)?)  +[A-Z]`)
)

// Flags and environment variables that documents mention are in the help of some command.
func TestFlagsExist(t *testing.T) {
	help := allHelp(t)
	known := make(map[string]bool)
	for _, r := range []*regexp.Regexp{flagName, environment} {
		for _, m := range r.FindAllStringSubmatch(help, -1) {
			known[m[1]] = true
		}
	}
	for _, d := range documents(t) {
		for _, l := range d.lines {
			for _, r := range []*regexp.Regexp{flagName, environment} {
				for _, m := range r.FindAllStringSubmatch(l.text, -1) {
					if !known[m[1]] && otherFlags[m[1]] == "" {
						t.Errorf("%s:%d: no command has %s", d.path, l.number, m[1])
					}
				}
			}
		}
	}
}

// allHelp returns the help of gatecast and of each of its commands.
func allHelp(t *testing.T) string {
	t.Helper()
	program := filepath.Join(build(t), "gatecast")
	run := func(args ...string) string {
		out, err := exec.Command(program, append(args, "--help")...).CombinedOutput()
		if err != nil {
			t.Fatalf("gatecast %v --help: %v\n%s", args, err, out)
		}
		return string(out)
	}
	help := run()
	commands := command.FindAllStringSubmatch(help, -1)
	if len(commands) < 10 {
		t.Fatalf("the help has %d commands:\n%s", len(commands), help)
	}
	for _, m := range commands {
		help += run(strings.Fields(m[1])...)
	}
	return help
}
