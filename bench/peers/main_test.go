// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"
	"time"
)

// TestMain lets the test binary be the servers, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && (os.Args[2] == "serve" || os.Args[1] == jetStream) {
		main()
		return
	}
	os.Exit(m.Run())
}

// smokeSizes are those that keep each peer working. A workload fails by itself
// when a connection does not get each of its events once and in order.
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
	for _, s := range subjects[1:] { // gatecast has bench's own tests
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

// skipRacy skips a library under the race detector that does not pass it. nbio's
// authors keep most of it from the detector, which objects to the rest: its
// poller reads what its accept loop wrote, with epoll between them only.
func skipRacy(t *testing.T, name string) {
	t.Helper()
	if raceDetector && name == "nbio" {
		t.Skip("nbio has races of its own")
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
		if ok && v <= 0 && c.figure != "rss" && !c.count { // a process may have room for 30 connections
			t.Errorf("%s is %v; want more than 0", c.figure, v)
		}
		if ok {
			shown++
		}
	}
	if shown == 0 {
		t.Errorf("none of what a table shows is in %v", result.Figures)
	}
}
