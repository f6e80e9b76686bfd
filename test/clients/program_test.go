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

// backlog is the number of reports that a driver can be ahead of its test. No scenario has so many,
// so a slow test never makes a slow consumer.
const backlog = 1 << 14

// A program is a driver in another language, with one process per connection.
type program struct {
	dir     string
	command []string
	// installed returns an error if the command cannot run.
	installed func() error
}

// newProgram returns a driver from files in dir. If the command probe fails, the error contains
// install.
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
	t.Cleanup(func() { // the end of the test's context has killed it
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
	send(stdin, d)
	return &client{t: t, reports: reports, do: func(c command) { send(stdin, c) }}
}

// send writes a message to a driver. If the driver has ended, its reports show it.
func send(w io.Writer, message any) {
	line, err := json.Marshal(message)
	if err != nil {
		panic("BUG: cannot encode a driver's input: " + err.Error())
	}
	_, _ = w.Write(append(line, '\n'))
}

// readReports reads the reports of a driver until it ends.
func readReports(r io.Reader, reports chan<- report) error {
	defer close(reports)
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil // EOF, or an incomplete line of a killed driver
		}
		var what report
		if err := json.Unmarshal(line, &what); err != nil {
			return err
		}
		reports <- what
	}
}
