// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// blockOf returns the first block of a language in a document, without its indentation.
func blockOf(t *testing.T, name, language string) string {
	t.Helper()
	text, err := os.ReadFile(root + name)
	if err != nil {
		t.Fatal(err)
	}
	var block strings.Builder
	in := false
	for line := range strings.Lines(string(text)) {
		switch trimmed := strings.TrimSpace(line); {
		case in && trimmed == "```":
			return block.String()
		case in:
			block.WriteString(strings.TrimPrefix(line, "   "))
		default:
			in = trimmed == "```"+language
		}
	}
	t.Fatalf("%s has no block of %s", name, language)
	return ""
}

// runUntil starts a program that runs until the test ends, and returns the first group of a pattern
// in what it writes to standard error or output.
func runUntil(t *testing.T, pattern, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = out.Close()
		_ = cmd.Wait()
	})
	want, printed := regexp.MustCompile(pattern), ""
	for lines.Scan() {
		if m := want.FindStringSubmatch(lines.Text()); m != nil {
			go func() { // so that the program can go on writing
				for lines.Scan() {
				}
			}()
			return m[1]
		}
		printed += lines.Text() + "\n"
	}
	t.Fatalf("%s ended without %q:\n%s", program, pattern, printed)
	return ""
}

// The endpoint of the guide is complete: it builds as it stands, and gateways connect through it.
func TestVerifyEndpoint(t *testing.T) {
	t.Parallel()
	const guide, token = "docs/guides/salted-tokens.md", "the-token-of-edge-1"
	dir := t.TempDir()
	for file, language := range map[string]string{"main.go": "go", "tokens.json": "json"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(blockOf(t, guide, language)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	compile := exec.Command("go", "build", "-o", "verify", "main.go")
	compile.Dir = dir
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	address := runUntil(t, `listening on (\S+)`, dir, "./verify", "-listen", "127.0.0.1:0", "tokens.json")
	url := "http://" + address + "/verify"
	for body, status := range map[string]int{
		`{"token":"` + token + `"}`:         http.StatusOK,
		`{"token":"` + token + `1"}`:        http.StatusUnauthorized,
		`{"token":""}`:                      http.StatusBadRequest,
		`nonsense`:                          http.StatusBadRequest,
		`{"token":"the-token-of-edge-1\n"}`: http.StatusUnauthorized,
	} {
		answer, err := http.Post(url, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		var gateway struct {
			GatewayID, Salt, Hash string
			Groups                []string
		}
		if answer.StatusCode != status || status == http.StatusOK &&
			(json.Unmarshal(text, &gateway) != nil || gateway.GatewayID != "edge-1" || len(gateway.Groups) != 1 || gateway.Salt+gateway.Hash != "") {
			t.Errorf("%s: %d %s; want %d", body, answer.StatusCode, text, status)
		}
	}

	gatecast := filepath.Join(build(t), "gatecast")
	node := runUntil(t, `node started.*gateways"?[=:]"?([0-9.:]+)`, dir, gatecast, "serve", "--listen", "127.0.0.1:0",
		"--internal-listen", "127.0.0.1:0", "--log", "memory", "--log-format", "json", "--verify-url", url)
	if id := runUntil(t, `connected as gateway (\S+?)[,;]?(?:\s|$)`, dir, gatecast, "tail", "--url", "wss://"+node, "--token", token, "--insecure"); id != "edge-1" {
		t.Errorf("connected as %s", id)
	}
}
