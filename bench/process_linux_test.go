// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestProcess(t *testing.T) {
	p := Process(os.Getpid())
	m, err := p.Memory()
	if err != nil {
		t.Fatal(err)
	}
	if m.RSS < 1<<20 || m.Peak < m.RSS {
		t.Errorf("memory %+v; want more than 1 MiB, and a peak that is no less", m)
	}
	if n, err := p.Threads(); err != nil || n < 1 {
		t.Errorf("%d threads, %v", n, err)
	}
	if err := p.ResetPeak(); err != nil {
		t.Error(err)
	}
}

func TestProcessCPU(t *testing.T) {
	p := Process(os.Getpid())
	before, err := p.CPU()
	if err != nil {
		t.Fatal(err)
	}
	used := func() time.Duration {
		now, err := p.CPU()
		if err != nil {
			t.Fatal(err)
		}
		return now - before
	}
	deadline := time.Now().Add(10 * time.Second)
	for used() < 20*time.Millisecond { // the loop is what uses it
		if time.Now().After(deadline) {
			t.Fatalf("10 s of work used %v", used())
		}
	}
}

func TestProcessDescriptors(t *testing.T) {
	// Of another process, where nobody else opens any.
	count := func(open ...*os.File) int {
		cmd := exec.Command("cat")
		cmd.ExtraFiles = open
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer in.Close()
		if _, err := in.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil { // so it is past its own start
			t.Fatal(err)
		}
		n, err := Process(cmd.Process.Pid).Descriptors()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	none := count()
	if two := count(os.Stderr, os.Stderr); two != none+2 {
		t.Errorf("%d descriptors, and %d with two more", none, two)
	}
}

func TestMissingProcess(t *testing.T) {
	const p = Process(1 << 22) // one more than the kernel gives
	if _, err := p.CPU(); err == nil {
		t.Error("CPU: no error")
	}
	if _, err := p.Memory(); err == nil {
		t.Error("Memory: no error")
	}
	if _, err := p.Descriptors(); err == nil {
		t.Error("Descriptors: no error")
	}
}

func TestKilobytes(t *testing.T) {
	status := []byte("Name:\tx\nVmHWM:\t    1656 kB\nVmRSS:\t 12 kB\n")
	for field, want := range map[string]int64{"VmHWM:": 1656 << 10, "VmRSS:": 12 << 10} {
		if got, err := kilobytes(status, field); err != nil || got != want {
			t.Errorf("%s %d, %v; want %d", field, got, err, want)
		}
	}
	if _, err := kilobytes(status, "VmSwap:"); err == nil {
		t.Error("a field that is not there: no error")
	}
}

func TestStartOn(t *testing.T) {
	server, load, err := Split()
	if err != nil {
		t.Skip(err)
	}
	if server.Count() != 1 || load.Count() < 1 {
		t.Fatalf("%d processors for the server, %d for the load", server.Count(), load.Count())
	}
	allowed := func(cpus CPUSet) string {
		cmd := exec.Command("grep", "Cpus_allowed:", "/proc/self/status")
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := startOn(cpus, cmd.Start); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out.String())
	}
	if s, l := allowed(server), allowed(load); s == l {
		t.Errorf("on the server's processor and on the load's: both %q", s)
	}
	var own CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		t.Fatal(err)
	}
	if want := server.Count() + load.Count(); own.Count() != want {
		t.Errorf("%d processors afterwards; want %d", own.Count(), want)
	}
}
