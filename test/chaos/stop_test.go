// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bufio"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// standstill is how long a process is stopped: longer than its peers may be silent.
const standstill = 4 * time.Second

var impatient = []string{"--ping-interval", "1s", "--connection-timeout", "2s"}

// A node that stood still for longer than its timeout cuts nobody off for it.
func TestStoppedServer(t *testing.T) {
	p := startProcess(t, t.TempDir()+"/admin.token", impatient...)
	f := newFleet(t, []*process{p}, *gateways)
	f.under(func() {
		acks := f.acks()
		p.signal(syscall.SIGSTOP)
		time.Sleep(standstill)
		p.signal(syscall.SIGCONT)
		before := f.receipts()
		f.await("publishes are answered again", func() bool { return f.receipts() > before+100 })
		if n := p.metric("gatecast_heartbeat_timeouts_total"); n > 0 || f.acks() > acks {
			t.Errorf("%v connections were cut off, and %d made anew", n, f.acks()-acks)
		}
	})
}

// A client that stood still is cut off, and gets what it missed when it goes on.
func TestStoppedClient(t *testing.T) {
	p := startProcess(t, t.TempDir()+"/admin.token", impatient...)
	f := newFleet(t, []*process{p}, 1)
	g := f.gateways[0]
	tail := exec.Command(binary, "tail", "--url", "wss://"+p.gateways, "--token", g.token, "--insecure")
	tail.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	var (
		mu  sync.Mutex
		got []string // events' numbers, as they came
	)
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			_, n, _ := strings.Cut(lines.Text(), `"payload":"n`)
			n, _, _ = strings.Cut(n, `"`)
			mu.Lock()
			got = append(got, n)
			mu.Unlock()
		}
	})
	defer func() {
		_ = tail.Process.Kill()
		reading.Wait()
		_ = tail.Wait()
	}()
	f.await("it is connected", func() bool { return p.metric("gatecast_connections") == 1 })
	published := 0
	publish := func(n int) {
		for range n {
			body := fmt.Sprintf(`{"gatewayId":%q,"type":"t","payload":"n%d"}`, g.id, published)
			if status, err := p.call(t.Context(), http.MethodPost, "/events", body, func([]byte) {}); err != nil || status != http.StatusAccepted {
				t.Fatalf("publish: %d, %v", status, err)
			}
			published++
		}
	}
	arrived := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(got)
	}
	publish(10)
	f.await("they arrive", func() bool { return arrived() == published })
	if err := tail.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	publish(10)
	f.await("it is cut off", func() bool { return p.metric("gatecast_heartbeat_timeouts_total") == 1 })
	publish(10)
	if err := tail.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	f.await("all arrive", func() bool { return arrived() >= published })
	publish(1)
	f.await("the next arrives", func() bool { return arrived() >= published })
	mu.Lock()
	defer mu.Unlock()
	for i, n := range got {
		if n != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, n)
		}
	}
	if len(got) != published {
		t.Errorf("%d events came of %d", len(got), published)
	}
}

// signal sends the process a signal.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}
