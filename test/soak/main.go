// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Command soak keeps a gatecast busy for minutes or days with all that happens to
// one at the same time, and checks that nothing of it adds up. The server is the
// real binary in a process of its own, with a log that retention takes from all
// the while; the gateways are real clients, that come, go, die, resume, read
// nothing, are kicked, rotated and removed.
//
// Events that a publisher has a receipt for and a chain of connections did not
// get, got twice, or got out of order must be none, at every moment and for each
// gateway; and memory, goroutines and descriptors must be flat.
//
//	go run ./test/soak --for 2h [--connections 400] [--rate 300]
//
// It prints a line a minute, ends with 1 if something was wrong, or if one of the
// actors never did its thing, and stops by itself.
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

// A config says how much of it, and for how long.
type config struct {
	length      time.Duration
	connections int // of lasting gateways
	rate        int // events a second
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
		return fmt.Errorf("--for is %v: want a time, as in 10m", c.length)
	case c.connections < 2*leastGateways:
		return fmt.Errorf("--connections is %d: want %d or more", c.connections, 2*leastGateways)
	case c.rate < 1:
		return fmt.Errorf("--rate is %d: want 1 or more", c.rate)
	}
	return bench.CheckDescriptors(c.connections + passing*members)
}

// run builds a server of the source tree at root, starts it, and soaks it.
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
	// Not ctx: a soak that is interrupted still says what it has found.
	server, err := bench.StartServer(context.WithoutCancel(ctx), bench.ServerConfig{
		Binary: binary, Folder: folder,
		Connections: 2 * (c.connections + passing*members), // those that are closing count too
		Flags:       serverFlags(pair),
	})
	if err != nil {
		return err
	}
	s := newSoak(server, pair, c, out)
	err = s.run(ctx)
	if stopErr := server.Stop(); stopErr != nil {
		err = errors.Join(err, fmt.Errorf("%w; it ends with\n%s", stopErr, server.LogTail()))
	}
	return err
}

// serverFlags sets bounds so low that they are reached within seconds: what is
// never full is not soaked.
func serverFlags(p pair) []string {
	return []string{
		"--tls-cert", p.cert, "--tls-key", p.key,
		"--send-queue-bytes", "256KiB", "--max-payload", "64KiB", "--replay-memory", "1MiB", "--retention", retention.String(),
	}
}
