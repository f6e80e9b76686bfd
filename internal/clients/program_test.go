// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"testing"
)

// backlog is how many reports a driver may be ahead of its test: more than any
// scenario has, so that a slow test never makes a slow consumer.
const backlog = 1 << 14

// A program is a driver in another language: one process a connection.
type program struct {
	command []string
	dir     string
	probe   []string // succeeds when command can run
	install string   // what to do when it does not
}

func (p program) start(t *testing.T, d dial) *client {
	t.Helper()
	if out, err := p.cmd(t, p.probe).CombinedOutput(); err != nil {
		t.Fatalf("%q does not run: %v\n%s\n%s", p.probe, err, bytes.TrimSpace(out), p.install)
	}
	cmd := p.cmd(t, p.command)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reports := make(chan report, backlog)
	read := make(chan error, 1)
	go func() { read <- readReports(stdout, reports) }()
	t.Cleanup(func() { // the test's context has killed it
		for range reports {
		}
		if err := <-read; err != nil {
			t.Errorf("%s: %v", p.command, err)
		}
		_ = cmd.Wait()
		if stderr.Len() > 0 {
			t.Errorf("%s: %s", p.command, stderr.Bytes())
		}
	})
	say(stdin, d)
	return &client{t: t, reports: reports, do: func(c command) { say(stdin, c) }}
}

func (p program) cmd(t *testing.T, args []string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = p.dir
	return cmd
}

// say tells a driver something. One that has ended shows in its reports.
func say(w io.Writer, message any) {
	line, err := json.Marshal(message)
	if err != nil {
		panic("BUG: what a driver is told does not marshal: " + err.Error())
	}
	_, _ = w.Write(append(line, '\n'))
}

// readReports hands on what a driver says until it ends.
func readReports(r io.Reader, reports chan<- report) error {
	defer close(reports)
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil // the end, or half a line of a driver that was killed
		}
		var what report
		if err := json.Unmarshal(line, &what); err != nil {
			return err
		}
		reports <- what
	}
}
