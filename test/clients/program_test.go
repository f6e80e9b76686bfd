// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"testing"
)

// backlog is how many reports a driver may be ahead of its test: more than any
// scenario has, so that a slow test never makes a slow consumer.
const backlog = 1 << 14

// A program is a driver in another language: one process a connection.
type program struct {
	dir     string
	command []string
	// installed returns what is missing to run the command.
	installed func() error
}

// newProgram returns a driver of files in dir. When the probe, a command, fails,
// install is what to do.
func newProgram(dir string, command, probe []string, install string) program {
	return program{dir, command, sync.OnceValue(func() error {
		cmd := exec.Command(probe[0], probe[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%q fails: %w\n%s\n%s", probe, err, bytes.TrimSpace(out), install)
		}
		return nil
	})}
}

func (p program) start(t *testing.T, d dial) *client {
	t.Helper()
	if err := p.installed(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), p.command[0], p.command[1:]...)
	cmd.Dir = p.dir
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
