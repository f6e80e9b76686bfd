// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatecast/gatecast/test/testenv"
)

// A node without free descriptors keeps its connections and its log, counts each failed accept, does
// not spin, and accepts again when descriptors are free.
func TestOutOfDescriptors(t *testing.T) {
	p := startProcess(t, t.TempDir()+"/admin.token", "--max-connections", "300")
	f := newFleet(t, []*process{p}, 4)
	f.during(func() {
		before := f.receipts()
		testenv.Eventually(f.t, "the publishers are connected", func() bool { return f.receipts() > before+200 })
		var full unix.Rlimit
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &full); err != nil {
			t.Fatal(err)
		}
		limited := unix.Rlimit{Cur: uint64(p.metric("process_open_fds")) + 20, Max: full.Max}
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limited, nil); err != nil {
			t.Fatal(err)
		}
		var idle []net.Conn
		for range 60 { // the kernel queues connections that are not accepted
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
		testenv.Eventually(f.t, "accepts of the internal listener fail", func() bool {
			return p.metric(`gatecast_accept_errors_total{error="EMFILE",listener="internal"}`) > 0
		})
		testenv.Eventually(f.t, "accepts fail", func() bool { return p.metric(`gatecast_accept_errors_total{error="EMFILE",listener="gateways"}`) > 0 })
		before = f.receipts()
		testenv.Eventually(f.t, "publishes are answered without descriptors", func() bool { return f.receipts() > before+200 })
		if n := p.metric(`gatecast_accept_errors_total{error="EMFILE",listener="gateways"}`); n > 100 {
			t.Errorf("%v accepts failed: the node spins", n)
		}
		for _, c := range idle {
			_ = c.Close()
		}
		acks := f.acks()
		f.drop(4)
		testenv.Eventually(f.t, "the dropped gateways are connected again", func() bool { return f.acks() >= acks+4 })
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &full, nil); err != nil {
			t.Fatal(err)
		}
	})
	p.kill()
	p.start() // its log is not damaged
}

// metric returns the value of a metric, or 0 if the node does not have it.
func (p *process) metric(name string) float64 {
	p.t.Helper()
	values, err := p.platform.Metrics(context.Background())
	if err != nil {
		p.t.Fatal(err)
	}
	return values[name]
}

// receipts returns the number of publishes with a receipt.
func (f *fleet) receipts() (n int) {
	for _, g := range f.gateways {
		g.mu.Lock()
		n += len(g.receipts)
		g.mu.Unlock()
	}
	return n
}

// acks returns the number of connections made.
func (f *fleet) acks() (n int) {
	for _, g := range f.gateways {
		for _, r := range g.replicas {
			n += r.connections()
		}
	}
	return n
}
