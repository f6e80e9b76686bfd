// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Build builds the gatecast of a source tree into a folder and returns the
// binary's path. root is the folder of its go.mod.
func Build(ctx context.Context, root, folder string) (string, error) {
	binary := filepath.Join(folder, "gatecast")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/gatecast")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/gatecast: %w\n%s", err, out)
	}
	return binary, nil
}

// ServerConfig says how a server is started.
type ServerConfig struct {
	Binary      string
	Args        []string // ahead of "serve", for another program that takes its flags
	Folder      string   // for its data; empty and its own
	Plaintext   bool
	Connections int      // how many it must allow
	CPUs        *CPUSet  // nil: all there are
	Flags       []string // of serve, besides those that follow from the above
}

// A Server is a gatecast process that was started here.
type Server struct {
	Target  Target
	cmd     *exec.Cmd
	cancel  context.CancelFunc
	exited  chan struct{} // closed when it has ended, with err set
	err     error
	logFile string
}

// stopTimeout is what a server is given to drain before it is killed.
const stopTimeout = 20 * time.Second

// StartServer starts a server on free ports of the loopback and returns when
// gateways can connect. It ends with ctx, with Stop, and with this process.
func StartServer(ctx context.Context, c ServerConfig) (*Server, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &Server{cancel: cancel, exited: make(chan struct{}), logFile: filepath.Join(c.Folder, "server.log")}
	dataDir := filepath.Join(c.Folder, "data")
	s.cmd = serverCommand(ctx, c, dataDir)
	if err := s.start(c.CPUs); err != nil {
		cancel()
		return nil, err
	}
	started, err := s.await(ctx)
	if err == nil {
		err = s.aim(started, dataDir, c.Plaintext)
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func serverCommand(ctx context.Context, c ServerConfig, dataDir string) *exec.Cmd {
	args := append(slices.Clone(c.Args),
		"serve", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0",
		"--data-dir", dataDir, "--log-format", "json",
		"--rate-limit", "0", "--max-connections", strconv.Itoa(c.Connections),
	)
	if c.Plaintext {
		args = append(args, "--plaintext")
	}
	args = append(args, c.Flags...)
	cmd := exec.CommandContext(ctx, c.Binary, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), isSetting)
	if c.CPUs != nil {
		cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(c.CPUs.Count()))
	}
	cmd.SysProcAttr = childAttributes(true) // Ctrl-C is for the load, which ends the server
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	return cmd
}

// isSetting reports whether an environment variable would change the server.
func isSetting(variable string) bool {
	return strings.HasPrefix(variable, "GATECAST_") || strings.HasPrefix(variable, "WS_")
}

func (s *Server) start(cpus *CPUSet) error {
	// A file, not a pipe: the load would have to read what comes out of it. The
	// server appends, so that it goes on at the front of a file that is trimmed.
	log, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has its own
	s.cmd.Stderr = log
	start := s.cmd.Start
	if cpus != nil {
		start = func() error { return startOn(*cpus, s.cmd.Start) }
	}
	if err := start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	return nil
}

// A startLine is the line of the log that says that the server has started.
type startLine struct {
	Message  string `json:"msg"`
	Gateways string `json:"gateways"`
	Internal string `json:"internal"`
}

const (
	startTimeout = 30 * time.Second
	startPoll    = 5 * time.Millisecond
)

// await waits for the start line.
func (s *Server) await(ctx context.Context) (startLine, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	poll := time.NewTicker(startPoll)
	defer poll.Stop()
	for {
		log, err := os.ReadFile(s.logFile)
		if err != nil {
			return startLine{}, err
		}
		if l, ok := findStart(log); ok {
			return l, nil
		}
		select {
		case <-poll.C:
		case <-s.exited:
			return startLine{}, fmt.Errorf("the server did not start: %w\n%s", s.err, s.LogTail())
		case <-ctx.Done():
			return startLine{}, fmt.Errorf("the server did not start: %w\n%s", ctx.Err(), s.LogTail())
		}
	}
}

func findStart(log []byte) (l startLine, ok bool) {
	for line := range bytes.Lines(log) {
		if json.Unmarshal(line, &l) == nil && l.Message == "node started" {
			return l, true
		}
	}
	return startLine{}, false
}

func (s *Server) aim(l startLine, dataDir string, plaintext bool) error {
	token, err := os.ReadFile(filepath.Join(dataDir, "admin.token"))
	if err != nil {
		return err
	}
	s.Target = Target{
		Gateways: l.Gateways, Internal: l.Internal,
		AdminToken: string(bytes.TrimSpace(token)),
		Process:    Process(s.cmd.Process.Pid),
	}
	if !plaintext {
		s.Target.TLS = clientTLS()
	}
	return nil
}

// Stop has the server drain, and waits for its end. It returns what is wrong
// with that.
func (s *Server) Stop() error {
	s.cancel()
	<-s.exited
	if s.cmd.ProcessState.ExitCode() != 0 {
		return fmt.Errorf("the server ended with %v; its log is %s", s.cmd.ProcessState, s.logFile)
	}
	return nil
}

// Kill ends the server as kill -9 does, and waits for its end.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // fails when it has ended
	<-s.exited
	s.cancel()
}

// TrimLog empties the file of what the server has logged when it is longer than
// limit, in bytes.
func (s *Server) TrimLog(limit int64) error {
	info, err := os.Stat(s.logFile)
	if err != nil || info.Size() <= limit {
		return err
	}
	return os.Truncate(s.logFile, 0)
}

// logTail is how much of a server's log LogTail returns, in bytes.
const logTail = 4 << 10

// LogTail returns the end of what the server has logged.
func (s *Server) LogTail() []byte {
	log, err := os.ReadFile(s.logFile)
	if err != nil {
		return []byte(err.Error())
	}
	return log[max(0, len(log)-logTail):]
}
