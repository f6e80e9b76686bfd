// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package stopsignal catches SIGINT and SIGTERM from the first moment of the process. It
// imports almost nothing, so that Go initializes it before the packages whose initialization
// takes long: a program that is stopped within its first milliseconds then stops as it
// does later, and is not killed by the signal.
package stopsignal

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// caught has room for the second signal too.
var caught = make(chan os.Signal, 2)

func init() { signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM) }

// Context returns a context that the first signal ends, also if it came before the
// call. The next signal has its default effect, which is to end the process at once.
// Context is called once.
func Context() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-caught
		cancel()
		signal.Stop(caught)
		select {
		case again := <-caught: // before Stop
			if p, err := os.FindProcess(os.Getpid()); err == nil {
				_ = p.Signal(again)
			}
		default:
		}
	}()
	return ctx
}
