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
	// serveGOGC lets the heap grow to three times what is alive before it is
	// collected, Go's default being twice: a collection costs what is alive, and
	// in a connect storm that came to an eighth of the processor time. What is
	// held for that is given back when the node is quiet again.
	serveGOGC = 200
	// memoryShare is the part of its container's memory that the process may
	// have before the heap is collected more often instead.
	memoryShare = 0.9
)

// tuneCollector sets the garbage collector up for a node. GOGC and GOMEMLIMIT, where
// they are set, stand.
func tuneCollector(logger *slog.Logger) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT", "AUTOMEMLIMIT"} {
		unsetIfEmpty(name)
	}
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(serveGOGC)
	}
	if _, err := memlimit.Set(memlimit.WithRatio(memoryShare)); err != nil {
		logger.Warn("the container's memory limit is not known; set GOMEMLIMIT", "error", err)
	}
}

// spareLoops gives Go one processor more than there are loops, and returns how many
// loops there are: one for each processor Go had, if none are asked for.
//
// A loop asleep in epoll_wait keeps its processor, in the scheduler's books, until
// Go's monitor takes it away, and on a node that is not busy the monitor looks every
// ten milliseconds. With every processor kept so, nobody looks at the network for
// publishers and handshakes, which then wait for up to twenty. GOMAXPROCS, where it is
// set, says how many processors the loops and handshakes keep busy.
func spareLoops(loops int) int {
	if loops == 0 {
		loops = runtime.GOMAXPROCS(0)
	}
	if runtime.GOMAXPROCS(0) <= loops {
		runtime.GOMAXPROCS(loops + 1)
	}
	return loops
}
