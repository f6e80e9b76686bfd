// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatecast/gatecast/test/testenv"
)

// binary is the path of the gatecast under test.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gatecast-clients-")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = testenv.Build(filepath.Join("..", ".."), dir); err != nil {
		log.Print(err)
		return 1
	}
	return m.Run()
}

// A server is a gatecast process. Goroutines can share it.
type server struct {
	// Constant after startServer.
	cmd      *exec.Cmd
	gateways string // host:port
	ca       string // PEM file
	platform testenv.Platform

	exited chan struct{} // closed after the process ended and err is set
	err    error

	term sync.Once // a second SIGTERM would end the drain

	log *testenv.Log // must contain no secrets
}

// startServer starts gatecast on free ports. It ends at the latest with the test, with exit code 0.
func startServer(t *testing.T, flags ...string) *server {
	t.Helper()
	data := t.TempDir()
	args := []string{"serve", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--data-dir", data, "--log-format", "json"}
	s := &server{
		cmd:    exec.Command(binary, append(args, flags...)...),
		ca:     filepath.Join(data, "self-signed.crt"),
		exited: make(chan struct{}),
		log:    testenv.NewLog(t),
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := make(chan startLine, 1)
	go func() {
		s.follow(stderr, started)
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() { s.end(t) })
	s.await(t, started)
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	s.platform.Token = strings.TrimSpace(string(token))
	s.log.Hide("the admin token", s.platform.Token)
	s.log.HidePEM(filepath.Join(data, "self-signed.key"))
	return s
}

// A startLine is the log line with which the server reports its start.
type startLine struct{ Msg, Gateways, Internal string }

// follow copies the log until it ends, and passes on the start line.
func (s *server) follow(stderr io.Reader, started chan<- startLine) {
	for lines := bufio.NewReader(stderr); ; {
		line, err := lines.ReadBytes('\n')
		s.log.Write(line)
		if err != nil {
			return
		}
		var l startLine
		if json.Unmarshal(line, &l) == nil && l.Msg == "node started" {
			started <- l
		}
	}
}

func (s *server) await(t *testing.T, started <-chan startLine) {
	t.Helper()
	select {
	case l := <-started:
		s.gateways, s.platform.URL = l.Gateways, "http://"+l.Internal
	case <-s.exited:
		t.Fatalf("gatecast did not start: %v", s.err)
	case <-time.After(timeout):
		t.Fatalf("gatecast did not start in %v", timeout)
	}
}

// terminate sends SIGTERM, once.
func (s *server) terminate(t *testing.T) {
	t.Helper()
	s.term.Do(func() {
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("SIGTERM: %v", err)
		}
	})
}

// wait returns how the process ended.
func (s *server) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-s.exited:
		return s.err
	case <-time.After(timeout):
		_ = s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("still running %v after SIGTERM", timeout)
	}
}

// end ends the process and checks its log.
func (s *server) end(t *testing.T) {
	select {
	case <-s.exited:
	default:
		s.terminate(t)
	}
	if err := s.wait(t); err != nil {
		t.Errorf("gatecast ended with: %v", err)
	}
	log := s.log.String()
	inspect(t, log)
	if t.Failed() {
		t.Logf("the last 16 KiB of gatecast's log:\n%s", log[max(0, len(log)-16<<10):])
	}
}

// inspect fails the test for error lines in the log. Failed deliveries are expected: some scenarios
// publish to gateways without a connection.
func inspect(t *testing.T, log string) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"level":"ERROR"`) && !strings.Contains(line, `"msg":"delivery failed"`) {
			t.Errorf("an error in the log: %s", line)
		}
	}
}
