// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/node"
	"github.com/gatecast/gatecast/internal/settings"
)

// A program is gatecast in a process of its own.
type program struct {
	*exec.Cmd
	lines *bufio.Scanner // of standard error
}

func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(os.Args[0], args...)}
	p.Env = append(os.Environ(), asProgram+"=1")
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(stderr)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// says reads the log up to a line that says something.
func (p *program) says(t *testing.T, what string) {
	t.Helper()
	for p.lines.Scan() {
		if strings.Contains(p.lines.Text(), what) {
			return
		}
	}
	t.Fatalf("nothing says %q: %v", what, p.lines.Err())
}

func (p *program) signal(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// end reads the rest of the log and returns how the program has ended.
func (p *program) end() syscall.WaitStatus {
	for p.lines.Scan() {
	}
	_ = p.Wait()
	return p.ProcessState.Sys().(syscall.WaitStatus)
}

// SIGTERM ends a node that is starting with 0, and a second one ends it at once.
func TestStopDuringStart(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	serve := func(t *testing.T, log string) *program {
		return startProgram(t, "serve", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--data-dir", t.TempDir(),
			"--log", log, "--log-format", "json")
	}
	t.Run("while NATS says nothing", func(t *testing.T) {
		p := serve(t, "nats://"+silent.Addr().String())
		c, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p.signal(t)
		p.says(t, "stopping during the start")
		_ = c.Close() // and the start goes on
		if status := p.end(); !status.Exited() || status.ExitStatus() != 0 {
			t.Errorf("%v", p.ProcessState)
		}
	})
	t.Run("twice", func(t *testing.T) {
		p := serve(t, "nats://"+silent.Addr().String())
		c, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p.signal(t)
		p.says(t, "stopping during the start")
		p.signal(t)
		if status := p.end(); !status.Signaled() || status.Signal() != syscall.SIGTERM {
			t.Errorf("%v", p.ProcessState)
		}
	})
	t.Run("at any moment", func(t *testing.T) {
		for pause := time.Duration(0); pause < 200*time.Millisecond; pause += 20 * time.Millisecond {
			p := serve(t, "file")
			p.says(t, "self-signed") // the log is open, and the node about to serve
			timer := time.NewTimer(pause)
			<-timer.C
			p.signal(t)
			if status := p.end(); !status.Exited() || status.ExitStatus() != 0 {
				t.Errorf("after %v: %v", pause, p.ProcessState)
			}
		}
	})
	t.Run("before it starts", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		cfg := node.Defaults()
		cfg.Listen, cfg.InternalListen, cfg.DataDir, cfg.Logger = "127.0.0.1:0", "127.0.0.1:0", t.TempDir(), slog.New(slog.DiscardHandler)
		if n, err := startNode(ctx, cfg); n != nil || err != nil {
			t.Errorf("%v, %v", n, err)
		}
	})
}

func TestServeErrorsAreOneLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	token := adminToken(t)
	checkErrors(t, []errorCase{
		{name: "used port by the environment", args: []string{"serve", "--data-dir", t.TempDir()}, env: [2]string{"GATECAST_LISTEN", taken.Addr().String()}, code: 1, says: "gatecast: GATECAST_LISTEN: cannot listen on"},
		{name: "used port", args: []string{"serve", "--data-dir", t.TempDir(), "--listen", taken.Addr().String()}, code: 1, says: "address already in use"},
		{name: "unwritable folder", args: []string{"serve", "--data-dir", token + "/data", "--listen", "127.0.0.1:0"}, code: 1, says: "--data-dir"},
		{name: "bad certificate", args: []string{"serve", "--data-dir", t.TempDir(), "--log", "memory", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--tls-cert", token, "--tls-key", token}, code: 1, says: "--tls-cert"},
	})
}

// A person at a terminal sees addresses and commands that work as they are printed.
func TestWelcome(t *testing.T) {
	gateways := &net.TCPAddr{IP: net.IPv6unspecified, Port: 9243}
	for _, tt := range []struct {
		name     string
		change   func(*settings.Settings)
		internal net.Addr
		want     string
	}{
		{"defaults", func(*settings.Settings) {}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9244},
			"gateways: wss://localhost:9243   platform and ops page: http://127.0.0.1:9244\n" +
				"admin token: data/admin.token\n" +
				"next: gatecast gateway add edge\n" +
				"then: gatecast tail --url wss://localhost:9243 --insecure --token TOKEN\n"},
		{"all else", func(s *settings.Settings) {
			s.TLSCert, s.TLSKey, s.InternalTLSCert, s.DataDir = "g.crt", "g.key", "i.crt", "/d"
		}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 1},
			"gateways: wss://localhost:9243   platform and ops page: https://10.0.0.7:1\n" +
				"admin token: /d/admin.token\n" +
				"next: gatecast gateway add edge --internal-url https://10.0.0.7:1 --internal-ca i.crt --admin-token-file /d/admin.token\n" +
				"then: gatecast tail --url wss://localhost:9243 --token TOKEN\n"},
		{"without TLS", func(s *settings.Settings) { s.Plaintext = true }, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9244},
			"gateways: ws://localhost:9243   platform and ops page: http://127.0.0.1:9244\n" +
				"admin token: data/admin.token\n" +
				"next: gatecast gateway add edge\n" +
				"then: gatecast tail --url ws://localhost:9243 --token TOKEN\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := settings.Defaults()
			tt.change(&s)
			var out strings.Builder
			printWelcome(&out, &s, gateways, tt.internal)
			if out.String() != tt.want {
				t.Errorf("%s\nwant\n%s", &out, tt.want)
			}
		})
	}
}
