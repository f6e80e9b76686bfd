// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
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
	"time"

	"github.com/gatecast/gatecast/test/testenv"
	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

// binary is the gatecast under test; TestMain builds it.
var binary string

func TestMain(m *testing.M) {
	natsenv.Main()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "gatecast-chaos-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "gatecast")
		build := exec.Command("go", "build", "-o", binary, "./cmd/gatecast")
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		// Publishers keep their connections: a node that is out of descriptors accepts
		// no new ones.
		http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 2 * publishers
		return m.Run()
	}())
}

// A process is a node in a process of its own, which can be killed and started
// again where it was.
type process struct {
	t                 *testing.T
	args              []string
	gateways, address string // host:port
	token             string
	log               string

	mu  sync.Mutex
	cmd *exec.Cmd
}

// startProcess starts a node. The admin token's file may be shared.
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
			t.Logf("the log of %s ends so:\n%s", p.address, log[max(0, len(log)-4000):])
		}
	})
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	p.token = strings.TrimSpace(string(token))
	return p
}

// freeAddress returns an address that is free, and stays so while its server is
// down: its port is below those that the kernel gives to outgoing connections.
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
	for deadline := time.Now().Add(60 * time.Second); ; {
		resp, err := http.Get("http://" + p.address + "/ready")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is not ready", p.address)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// kill ends the process as kill -9 does.
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

// call does a request of the internal route and returns its status.
func (p *process) call(ctx context.Context, method, path, body string, into func([]byte)) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.address+"/api/internal/v1"+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b := make([]byte, 64<<10)
	n := 0
	for err == nil && n < len(b) {
		var m int
		m, err = resp.Body.Read(b[n:])
		n += m
	}
	into(b[:n])
	return resp.StatusCode, nil
}
