// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Command echo is a WebSocket echo server for conformance suites. It uses the
// production front, TLS, streams and frames; only the shard is replaced, by one [conn]
// per connection. It accepts every token and makes a certificate for one hour, so it is
// for tests only. Like every gatecast server it runs on Linux only.
//
//	go run ./test/echo --listen 127.0.0.1:9001 [--tls] [--compression]
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/gatecast/gatecast/internal/front"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9001", "where to listen")
	useTLS := flag.Bool("tls", false, "speak TLS, with a certificate made for it")
	compression := flag.Bool("compression", false, "negotiate permessage-deflate")
	flag.Parse()
	if err := run(*listen, *useTLS, *compression); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

// run serves until a signal ends it.
func run(listen string, useTLS, compression bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	s, err := start(ln, useTLS, compression)
	if err != nil {
		return err
	}
	scheme := "ws"
	if useTLS {
		scheme = "wss"
	}
	fmt.Printf("%s://%s%s\n", scheme, ln.Addr(), front.ConnectPath)
	<-ctx.Done()
	return s.stop()
}
