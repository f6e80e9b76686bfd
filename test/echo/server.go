// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/frame"
	"github.com/gatecast/gatecast/internal/front"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"
	"github.com/gatecast/gatecast/test/testenv"
)

const (
	maxMessage = 16 << 20 // bytes
	maxConns   = 1000
	tickEvery  = 100 * time.Millisecond
	stopAfter  = 5 * time.Second
)

// A server is a front and one loop that owns all connections.
type server struct {
	// Constant after start.
	front  *front.Front
	loop   *poller.Loop
	served chan error

	inbox poller.Inbox[func()] // run on the loop, in order

	// Owned by the loop.
	conns map[*conn]struct{}
	now   time.Time
}

// start serves ln, and closes it.
func start(ln net.Listener, useTLS, compression bool) (*server, error) {
	s := &server{served: make(chan error, 1), conns: make(map[*conn]struct{})}
	var err error
	s.loop, err = poller.Start(poller.Config{Turn: s.turn, Tick: s.tick, TickEvery: tickEvery})
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	s.front = front.New(s.config(useTLS, compression))
	go func() { s.served <- s.front.Serve(ln) }()
	return s, nil
}

// config returns the configuration of a front that accepts every token.
func (s *server) config(useTLS, compression bool) front.Config {
	anybody := &auth.Grant{Gateway: &auth.Gateway{ID: "echo"}, Live: new(atomic.Int32)}
	cfg := front.Config{
		Verify:      func(string) (*auth.Grant, error) { return anybody, nil },
		Limits:      front.Limits{Total: maxConns},
		Register:    func(r *shard.Registration) { s.do(func() { s.open(r) }) },
		Resume:      func(context.Context, string, bool) *shard.Resume { return nil },
		WebSocket:   &shard.WebSocket{MaxMessage: maxMessage, ShutdownCode: frame.CloseGoingAway},
		Compression: compression,
		Available:   func() bool { return true },
		Node:        metrics.NewNode("echo"),
		Logger:      slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	if useTLS {
		cfg.TLS = poller.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{testenv.Certificate()},
			MinVersion:   tls.VersionTLS12,
			NextProtos:   []string{"http/1.1"},
		}, false)
	}
	return cfg
}

// stop closes all connections and the loop.
func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopAfter)
	defer cancel()
	err := errors.Join(s.front.Drain(ctx), <-s.served)
	ended := make(chan struct{})
	s.do(func() {
		defer close(ended)
		for c := range s.conns {
			c.finish()
		}
	})
	<-ended
	s.loop.Close()
	return err
}

// do runs f on the loop. Any goroutine can call it.
func (s *server) do(f func()) {
	s.inbox.Push(f)
	s.loop.Ring()
}

// turn runs the functions that were posted.
func (s *server) turn(now time.Time) (again bool) {
	s.now = now
	for _, f := range s.inbox.Take(nil) {
		f()
	}
	return false
}

// tick closes the connections whose peers did not close in time.
func (s *server) tick(now time.Time) {
	s.now = now
	for c := range s.conns {
		if c.ending && now.After(c.deadline) {
			c.finish()
		}
	}
}
