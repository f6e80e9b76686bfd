// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// finalStage returns the instructions of the Dockerfile's last stage, in which lines are
// joined.
func finalStage(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), "\\\n", " ")
	var stage []string
	for line := range strings.Lines(text) {
		line = strings.Join(strings.Fields(line), " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "FROM "):
			stage = []string{line}
		default:
			stage = append(stage, line)
		}
	}
	return stage
}

// The image has what a node in it needs: the public authorities, a user that is not
// root by number (so that Kubernetes sees it), and a health check without a shell and
// without settings of its own. Its internal route is on loopback by default.
func TestImage(t *testing.T) {
	stage := finalStage(t)
	one := func(instruction string) string {
		t.Helper()
		var found []string
		for _, line := range stage {
			if rest, ok := strings.CutPrefix(line, instruction+" "); ok {
				found = append(found, rest)
			}
		}
		if len(found) != 1 {
			t.Fatalf("%s: %q, want one", instruction, found)
		}
		return found[0]
	}
	all := strings.Join(stage, "\n")
	if !strings.Contains(all, " /etc/ssl/certs/ca-certificates.crt\n") {
		t.Error("no public authorities, of which Go looks for /etc/ssl/certs/ca-certificates.crt first")
	}
	if user := one("USER"); !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("USER %s; want numbers, and not root's", user)
	}
	if strings.Contains(all, "GATECAST_INTERNAL_LISTEN=") {
		t.Error("the internal route listens on more than loopback by default")
	}
	var check, entry, command []string
	_, words, _ := strings.Cut(one("HEALTHCHECK"), "CMD ")
	for _, c := range []struct {
		text string
		into *[]string
	}{{words, &check}, {one("ENTRYPOINT"), &entry}, {one("CMD"), &command}} {
		if err := json.Unmarshal([]byte(c.text), c.into); err != nil { // else it is for a shell
			t.Fatalf("%s: %v", c.text, err)
		}
	}
	if len(check) != 2 || check[0] != entry[0] || check[1] != "health" || len(command) != 1 || command[0] != "serve" {
		t.Errorf("the image runs %q %q, and checks with %q", entry, command, check)
	}
	if !strings.Contains(all, "COPY --from=build "+"/out/gatecast "+entry[0]+"\n") {
		t.Errorf("the program is not at %s", entry[0])
	}
	for _, dir := range []string{"/data", "/tmp"} {
		if !regexp.MustCompile(`(?m)^COPY .* ` + dir + `$`).MatchString(all) {
			t.Errorf("there is no folder %s", dir)
		}
	}
}
