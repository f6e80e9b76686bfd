// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package stopsignal catches SIGINT and SIGTERM from the start of the process. It imports
// almost nothing, so Go initializes it before packages whose initialization takes long. So
// a program that gets a signal in its first milliseconds stops cleanly, as it does later.
package stopsignal

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// caught has room for two signals, because the second one ends the process at once.
var caught = make(chan os.Signal, 2)

func init() { signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM) }

// Context returns a context that the first signal cancels, also one that came before the
// call. The second signal ends the process at once, as it does by default. Call Context
// once.
func Context() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-caught
		cancel()
		signal.Stop(caught)
		select {
		case again := <-caught: // it came before Stop: send it again, to have its default effect
			if p, err := os.FindProcess(os.Getpid()); err == nil {
				_ = p.Signal(again)
			}
		default:
		}
	}()
	return ctx
}
