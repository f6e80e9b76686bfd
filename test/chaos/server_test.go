// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gatecast/gatecast/test/testenv"
	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

// binary is the path of the gatecast under test. TestMain builds it.
var binary string

func TestMain(m *testing.M) {
	natsenv.Main()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "gatecast-chaos-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if binary, err = testenv.Build("../..", dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		// Publishers keep their connections, because a node without free descriptors accepts no
		// new ones.
		http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 2 * publishers
		return m.Run()
	}())
}

// A process is a node in another process. It can be killed and started again on the same addresses
// and data.
type process struct {
	t                 *testing.T
	args              []string
	gateways, address string // host:port of its listeners
	platform          testenv.Platform
	log               string // file

	mu  sync.Mutex
	cmd *exec.Cmd
}

// startProcess starts a node. Several nodes can share the admin token file.
func startProcess(t *testing.T, tokenFile string, args ...string) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{t: t, gateways: freeAddress(t), address: freeAddress(t), log: filepath.Join(dir, "log")}
	p.args = append([]string{
		"serve", "--listen", p.gateways, "--internal-listen", p.address, "--data-dir", filepath.Join(dir, "data"),
		"--admin-token-file", tokenFile, "--rate-limit", "0", "--max-connections", "2000", "--log-level", "debug", "--log-format", "json",
	}, args...)
	logs := testenv.NewLog(t)
	p.start()
	logs.File(p.log)
	logs.HideTokens(tokenFile)
	logs.HidePEM(filepath.Join(dir, "data", "self-signed.key"))
	logs.Hide("NATS's password", natsPassword)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			log, _ := os.ReadFile(p.log)
			t.Logf("the end of the log of %s:\n%s", p.address, log[max(0, len(log)-4000):])
		}
	})
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	p.platform = testenv.Platform{URL: "http://" + p.address, Token: strings.TrimSpace(string(token))}
	return p
}

// freeAddress returns an address whose port is free. The port is below the range that the kernel
// uses for outgoing connections, so it stays free while its server is down.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))
		if ln, err := net.Listen("tcp", address); err == nil {
			_ = ln.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// start starts the process and waits until it is ready.
func (p *process) start() {
	p.t.Helper()
	p.launch()
	p.awaitReady()
}

func (p *process) launch() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.Command(binary, p.args...)
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) awaitReady() {
	p.t.Helper()
	testenv.Eventually(p.t, p.address+" is ready", func() bool {
		resp, err := http.Get("http://" + p.address + "/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// kill kills the process with SIGKILL.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
}
