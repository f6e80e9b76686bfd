// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"
	"time"
)

// TestMain can also run the servers in the test binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && (os.Args[2] == "serve" || os.Args[1] == jetStream) {
		main()
		return
	}
	os.Exit(m.Run())
}

// smokeSizes are sizes that only check that each workload works. A workload fails by itself if a
// connection does not receive each of its events once and in order.
var smokeSizes = sizes{
	conns: 30, settle: 10 * time.Millisecond,
	fanOutEvents: 3, burstEvents: 40, bursts: 2,
	publishGateways: 10, publishEvents: 500,
}

func TestPeers(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range subjects[1:] { // package bench tests gatecast
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			skipRacy(t, s.name)
			r := &runner{options: options{sizes: smokeSizes}, self: self, folder: t.TempDir()}
			for _, transport := range []string{"wss", "ws"} {
				for _, w := range workloads {
					if s.takes(w.name, transport) {
						t.Run(w.name+" "+transport, func(t *testing.T) { checkMeasured(t, r, s, w, transport) })
					}
				}
			}
		})
	}
}

// skipRacy skips nbio under the race detector. Its authors hide most of its code from the detector,
// which reports the rest: its poller reads what its accept loop wrote, synchronized only by epoll.
func skipRacy(t *testing.T, name string) {
	t.Helper()
	if raceDetector && name == "nbio" {
		t.Skip("nbio fails under the race detector")
	}
}

func checkMeasured(t *testing.T, r *runner, s subject, w workload, transport string) {
	result, err := r.measure(t.Context(), s, w, transport == "ws")
	if err != nil {
		t.Fatal(err)
	}
	if result.Transport != transport {
		t.Errorf("transport %q; want %q", result.Transport, transport)
	}
	shown := 0
	for _, c := range w.columns {
		v, ok := result.Figure(c.figure)
		if ok && v <= 0 && c.figure != "rss" && !c.count { // a process can have free memory for 30 connections
			t.Errorf("%s is %v; want more than 0", c.figure, v)
		}
		if ok {
			shown++
		}
	}
	if shown == 0 {
		t.Errorf("a table would show none of %v", result.Figures)
	}
}
