// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A node that is out of descriptors keeps its connections and its log, counts each
// accept that failed instead of spinning, and accepts again when some are free.
func TestOutOfDescriptors(t *testing.T) {
	p := startProcess(t, t.TempDir()+"/admin.token", "--max-connections", "300")
	f := newFleet(t, []*process{p}, 4)
	f.under(func() {
		before := f.receipts()
		f.await("the publishers are connected", func() bool { return f.receipts() > before+200 })
		var full unix.Rlimit
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &full); err != nil {
			t.Fatal(err)
		}
		limited := unix.Rlimit{Cur: uint64(p.metric("process_open_fds")) + 20, Max: full.Max}
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limited, nil); err != nil {
			t.Fatal(err)
		}
		var idle []net.Conn
		for range 60 { // the kernel's queue takes those that are not accepted
			c, err := net.Dial("tcp", p.gateways)
			if err != nil {
				t.Fatal(err)
			}
			idle = append(idle, c)
		}
		late, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, late)
		f.await("accepts of the internal listener fail", func() bool {
			return p.metric(`gatecast_accept_errors_total{error="EMFILE",listener="internal"}`) > 0
		})
		f.await("accepts fail", func() bool { return p.metric(`gatecast_accept_errors_total{error="EMFILE",listener="gateways"}`) > 0 })
		before = f.receipts()
		f.await("publishes are answered without descriptors", func() bool { return f.receipts() > before+200 })
		if n := p.metric(`gatecast_accept_errors_total{error="EMFILE",listener="gateways"}`); n > 100 {
			t.Errorf("%v accepts failed: it spins", n)
		}
		for _, c := range idle {
			_ = c.Close()
		}
		acks := f.acks()
		f.drop(4)
		f.await("the dropped are back", func() bool { return f.acks() >= acks+4 })
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &full, nil); err != nil {
			t.Fatal(err)
		}
	})
	p.kill()
	p.start() // without a word about its log
}

// metric returns a metric's value, zero when there is none.
func (p *process) metric(name string) (value float64) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+p.address+"/metrics", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			_, _ = fmt.Sscan(text, &value)
		}
	}
	return value
}

// receipts returns how many publishes were answered.
func (f *fleet) receipts() (n int) {
	for _, g := range f.gateways {
		g.mu.Lock()
		n += len(g.receipts)
		g.mu.Unlock()
	}
	return n
}

// acks returns how many connections were made.
func (f *fleet) acks() (n int) {
	for _, g := range f.gateways {
		for _, r := range g.replicas {
			n += r.connections()
		}
	}
	return n
}
