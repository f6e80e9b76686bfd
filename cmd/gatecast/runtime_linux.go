// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// serveGOGC lets the heap grow to three times the live heap before a collection;
	// Go's default is twice. The cost of a collection depends on the live heap: with
	// the default, collections took an eighth of the processor time of a connect storm.
	// The node returns the memory to the system when it is quiet again.
	serveGOGC = 200
	// memoryShare is the fraction of the container's memory limit above which Go
	// collects more often.
	memoryShare = 0.9
)

// tuneCollector configures the garbage collector for a node. GOGC and GOMEMLIMIT in the
// environment take precedence.
func tuneCollector(logger *slog.Logger) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT", "AUTOMEMLIMIT"} {
		unsetIfEmpty(name)
	}
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(serveGOGC)
	}
	if _, err := memlimit.Set(memlimit.WithRatio(memoryShare)); err != nil {
		logger.Warn("cannot read the container's memory limit; set GOMEMLIMIT", "error", err)
	}
}

// spareLoops returns the number of event loops, by default one per processor that Go uses,
// and gives Go one processor more than that.
//
// The reason: for Go's scheduler, a loop that sleeps in epoll_wait occupies its processor
// until the runtime's monitor takes it back, which can take 10 ms on a quiet node. Without a
// free processor, nothing polls the network for publishers and handshakes, which then wait
// for up to 20 ms. Where GOMAXPROCS is set, it is the number of processors that loops and
// handshakes may keep busy.
func spareLoops(loops int) int {
	if loops == 0 {
		loops = runtime.GOMAXPROCS(0)
	}
	if runtime.GOMAXPROCS(0) <= loops {
		runtime.GOMAXPROCS(loops + 1)
	}
	return loops
}
