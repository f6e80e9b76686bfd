// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// session returns the shell commands of README's session.
func session(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text2, _ := strings.Cut(string(text), "\n## A session\n")
	_, text2, _ = strings.Cut(text2, "```sh\n")
	commands, _, found := strings.Cut(text2, "```\n")
	if !found || !strings.Contains(commands, "publish") {
		t.Fatalf("README has no session:\n%s", commands)
	}
	return commands
}

// connectedAtLast stands for the pause that a person makes until the tail is connected.
const connectedAtLast = `
sleep() { until bin/gatecast stats --gateway edge | grep -q '"status": "connected"'; do command sleep 0.05; done; }
`

// README's session runs as it is pasted, in an empty folder but for the program: only
// its ports are others here.
func TestReadmeSession(t *testing.T) {
	dir := t.TempDir()
	program, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	wrapper := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asProgram, program)
	if err := os.WriteFile(filepath.Join(dir, "bin", "gatecast"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	gateways, internal := freePort(t), freePort(t)
	commands := strings.NewReplacer("9243", gateways, "9244", internal).Replace(session(t))
	shell := exec.Command("sh", "-e", "-c", connectedAtLast+commands)
	shell.Dir = dir
	shell.Env = append(os.Environ(),
		"GATECAST_LISTEN=127.0.0.1:"+gateways, "GATECAST_INTERNAL_LISTEN=127.0.0.1:"+internal, "GATECAST_INTERNAL_URL=http://127.0.0.1:"+internal)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that what runs in the background can be ended
	var log strings.Builder
	shell.Stderr = &log
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	var receipt, event bool
	lines := bufio.NewScanner(out)
	for (!receipt || !event) && lines.Scan() {
		receipt = receipt || strings.Contains(lines.Text(), `"connected": 1`)
		event = event || strings.Contains(lines.Text(), `"type":"api.deployed","payload":{"apiId":"weather"},"gatewayId":"edge"`)
	}
	_ = syscall.Kill(-shell.Process.Pid, syscall.SIGTERM)
	for lines.Scan() { // to the end of what runs in the background
	}
	_ = shell.Wait() // the signal may have come before its end
	if !receipt || !event {
		t.Errorf("receipt %t, event %t:\n%s", receipt, event, log.String())
	}
}

// freePort returns a port that nobody listened on a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}
