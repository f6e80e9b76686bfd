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

// Build builds gatecast from a source tree into a folder, and returns the path of the binary. root
// is the folder of go.mod.
func Build(ctx context.Context, root, folder string) (string, error) {
	binary := filepath.Join(folder, "gatecast")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/gatecast")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as in a release
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/gatecast: %w\n%s", err, out)
	}
	return binary, nil
}

// ServerConfig configures [StartServer].
type ServerConfig struct {
	Binary      string
	Args        []string // before "serve", for another program with the same flags
	Folder      string   // for its data; must be empty
	Plaintext   bool
	Connections int      // maximum number of connections
	CPUs        *CPUSet  // nil: all processors
	Flags       []string // additional flags of serve
}

// A Server is a gatecast process started by this one.
type Server struct {
	Target  Target
	cmd     *exec.Cmd
	cancel  context.CancelFunc
	exited  chan struct{} // closed after the process ended and err is set
	err     error
	logFile string
}

// stopTimeout is the time to drain before the server is killed.
const stopTimeout = 20 * time.Second

// StartServer starts a server on free ports of the loopback interface, and returns when gateways
// can connect. The server ends when ctx ends, when Stop is called, or when this process ends.
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
	// A separate process group: Ctrl-C on a terminal reaches only the load, which then stops the
	// server.
	cmd.SysProcAttr = childAttributes(true)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	return cmd
}

// isSetting reports whether an environment variable would change the server's configuration.
func isSetting(variable string) bool {
	return strings.HasPrefix(variable, "GATECAST_") || strings.HasPrefix(variable, "WS_")
}

func (s *Server) start(cpus *CPUSet) error {
	// A file and not a pipe, which the load would have to read. The server appends, so that it
	// continues at the start of a file that TrimLog emptied.
	log, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has its own descriptor
	s.cmd.Stderr = log
	start := s.cmd.Start
	if cpus != nil {
		start = func() error { return startOn(*cpus, s.cmd.Start) }
	}
	if err := start(); err != nil {
		return fmt.Errorf("cannot start the server: %w", err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	return nil
}

// A startLine is the log line with which the server reports its start.
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

// Stop drains the server and waits until it ends. It returns an error if the server fails to drain.
func (s *Server) Stop() error {
	s.cancel()
	<-s.exited
	if s.cmd.ProcessState.ExitCode() != 0 {
		return fmt.Errorf("the server ended with %v; see its log %s", s.cmd.ProcessState, s.logFile)
	}
	return nil
}

// Kill kills the server with SIGKILL and waits until it ends.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // fails if it has ended already
	<-s.exited
	s.cancel()
}

// TrimLog empties the server's log file if it is longer than limit bytes.
func (s *Server) TrimLog(limit int64) error {
	info, err := os.Stat(s.logFile)
	if err != nil || info.Size() <= limit {
		return err
	}
	return os.Truncate(s.logFile, 0)
}

// logTail is the number of bytes that LogTail returns.
const logTail = 4 << 10

// LogTail returns the end of the server's log.
func (s *Server) LogTail() []byte {
	log, err := os.ReadFile(s.logFile)
	if err != nil {
		return []byte(err.Error())
	}
	return log[max(0, len(log)-logTail):]
}
