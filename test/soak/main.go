// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Command soak runs a node for minutes or days under all kinds of load at the same time, and checks
// that no event is lost and nothing grows. The node is the real binary in another process, with a
// log whose retention removes events all the time. The gateways are real clients that connect,
// disconnect, crash, resume, stop reading, are kicked, get new tokens and are removed.
//
// At each moment and for each gateway, no event with a receipt may be lost, duplicated or out of
// order. Memory, goroutines and descriptors must stay constant.
//
//	go run ./test/soak --for 2h [--connections 400] [--rate 300]
//
// It prints one line per minute and stops by itself. The exit code is 1 if something was wrong, or
// if one of the actors never succeeded.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gatecast/gatecast/bench"
)

// A config is the size and duration of a run.
type config struct {
	length      time.Duration
	connections int // of the permanent gateways
	rate        int // events per second
}

func main() {
	var c config
	flag.DurationVar(&c.length, "for", 10*time.Minute, "how long")
	flag.IntVar(&c.connections, "connections", 400, "connections, two a gateway")
	flag.IntVar(&c.rate, "rate", 300, "events a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, ".", c, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func (c config) check() error {
	switch {
	case c.length <= 0:
		return fmt.Errorf("--for is %v: want a duration, for example 10m", c.length)
	case c.connections < 2*leastGateways:
		return fmt.Errorf("--connections is %d: want %d or more", c.connections, 2*leastGateways)
	case c.rate < 1:
		return fmt.Errorf("--rate is %d: want 1 or more", c.rate)
	}
	return bench.CheckDescriptors(c.connections + passing*members)
}

// run builds a node from the source tree at root, starts it and soaks it.
func run(ctx context.Context, root string, c config, out io.Writer) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "gatecast-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	binary, err := bench.Build(ctx, root, folder)
	if err != nil {
		return err
	}
	pair := newPair(folder)
	if _, err := pair.renew(); err != nil {
		return err
	}
	// Not ctx: an interrupted soak still prints its verdict.
	server, err := bench.StartServer(context.WithoutCancel(ctx), bench.ServerConfig{
		Binary: binary, Folder: folder,
		Connections: 2 * (c.connections + passing*members), // closing connections count too
		Flags:       serverFlags(pair),
	})
	if err != nil {
		return err
	}
	s := newSoak(server, pair, c, out)
	err = s.run(ctx)
	if stopErr := server.Stop(); stopErr != nil {
		err = errors.Join(err, fmt.Errorf("%w; the end of its log:\n%s", stopErr, server.LogTail()))
	}
	return err
}

// serverFlags sets limits that are so low that they are reached within seconds.
func serverFlags(p pair) []string {
	return []string{
		"--tls-cert", p.cert, "--tls-key", p.key,
		"--send-queue-bytes", "256KiB", "--max-payload", "64KiB", "--replay-memory", "1MiB", "--retention", retention.String(),
	}
}
