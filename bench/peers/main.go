// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Command peers runs the workloads of package bench against gatecast and against servers that use
// other Go WebSocket libraries. It prints what each costs, and the ratios.
//
//	go run .                      everything, in the folder of this file
//	peers LIBRARY serve FLAGS     one of the servers, with gatecast's flags
//	peers jetstream FLAGS         an embedded JetStream alone, measured once
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/gatecast/gatecast/bench/peers/hub"
)

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func dispatch(args []string) error {
	if len(args) > 1 && args[1] == "serve" {
		l, ok := libraries[args[0]]
		if !ok {
			return fmt.Errorf("%q is not a library: want one of %s", args[0], names(slices.Sorted(maps.Keys(libraries))))
		}
		return hub.Serve(args[2:], l())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 && args[0] == jetStream {
		return printJetStream(ctx, args[1:])
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	return run(ctx, o)
}
