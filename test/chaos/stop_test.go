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

	"github.com/gatecast/gatecast/test/testenv"
)

// stopTime is how long a process is stopped: longer than its connection timeout.
const stopTime = 4 * time.Second

var shortTimeouts = []string{"--ping-interval", "1s", "--connection-timeout", "2s"}

// A node that was stopped for longer than its connection timeout closes no connection because of it.
func TestStoppedServer(t *testing.T) {
	p := startProcess(t, t.TempDir()+"/admin.token", shortTimeouts...)
	f := newFleet(t, []*process{p}, *gateways)
	f.during(func() {
		acks := f.acks()
		p.signal(syscall.SIGSTOP)
		time.Sleep(stopTime)
		p.signal(syscall.SIGCONT)
		before := f.receipts()
		testenv.Eventually(f.t, "publishes are answered again", func() bool { return f.receipts() > before+100 })
		if n := p.metric("gatecast_heartbeat_timeouts_total"); n > 0 || f.acks() > acks {
			t.Errorf("%v connections timed out, and %d were made again", n, f.acks()-acks)
		}
	})
}

// A client that is stopped times out, and receives the missed events after it continues.
func TestStoppedClient(t *testing.T) {
	p := startProcess(t, t.TempDir()+"/admin.token", shortTimeouts...)
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
		got []string // numbers of the events, in the order of arrival
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
	testenv.Eventually(f.t, "the gateway is connected", func() bool { return p.metric("gatecast_connections") == 1 })
	published := 0
	publish := func(n int) {
		for range n {
			body := fmt.Sprintf(`{"gatewayId":%q,"type":"t","payload":"n%d"}`, g.id, published)
			if err := p.platform.Do(t.Context(), http.MethodPost, "/events", body, http.StatusAccepted, nil); err != nil {
				t.Fatal(err)
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
	testenv.Eventually(f.t, "the events arrive", func() bool { return arrived() == published })
	if err := tail.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	publish(10)
	testenv.Eventually(f.t, "the connection times out", func() bool { return p.metric("gatecast_heartbeat_timeouts_total") == 1 })
	publish(10)
	if err := tail.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(f.t, "all events arrive", func() bool { return arrived() >= published })
	publish(1)
	testenv.Eventually(f.t, "the next event arrives", func() bool { return arrived() >= published })
	mu.Lock()
	defer mu.Unlock()
	for i, n := range got {
		if n != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, n)
		}
	}
	if len(got) != published {
		t.Errorf("%d events arrived, want %d", len(got), published)
	}
}

// signal sends a signal to the process.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}
