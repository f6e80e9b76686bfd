// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"os"
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
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(serveGOGC)
	}
	if _, err := memlimit.Set(memlimit.WithRatio(memoryShare)); err != nil {
		logger.Warn("the container's memory limit is not known; set GOMEMLIMIT", "error", err)
	}
}
