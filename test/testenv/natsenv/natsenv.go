// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package natsenv runs NATS servers with JetStream for tests: in this process ([Start],
// [StartCluster]), or as processes that can be killed ([StartProcesses]).
package natsenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startTimeout bounds the start of a server.
const startTimeout = 30 * time.Second

// A Server is a NATS server in this process, on a fixed port of 127.0.0.1 and with a folder of
// its own, which it keeps when it is stopped and started again. It is not safe for concurrent
// use.
type Server struct {
	*server.Server // nil while it is stopped
	Options        *server.Options

	t testing.TB
}

// Start starts a server that the test stops at its end. The changes to its options are
// permanent.
func Start(t testing.TB, change ...func(*server.Options)) *Server {
	t.Helper()
	s := &Server{t: t, Options: &server.Options{
		ServerName: "nats", Host: "127.0.0.1", Port: FreePort(t),
		JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	}}
	for _, f := range change {
		if f != nil {
			f(s.Options)
		}
	}
	t.Cleanup(s.Stop)
	s.Restart()
	return s
}

// Restart starts the server if it is stopped, else stops and starts it. The changes to its
// options are only for this start.
func (s *Server) Restart(change ...func(*server.Options)) {
	s.t.Helper()
	s.Stop()
	o := s.Options.Clone()
	for _, f := range change {
		if f != nil {
			f(o)
		}
	}
	srv, err := server.NewServer(o)
	if err != nil {
		s.t.Fatal(err)
	}
	srv.Start()
	s.Server = srv
	if !srv.ReadyForConnections(startTimeout) {
		s.t.Fatalf("NATS server %s does not start", o.ServerName)
	}
}

// Stop stops the server and waits for it.
func (s *Server) Stop() {
	if s.Server != nil {
		s.Shutdown()
		s.WaitForShutdown()
		s.Server = nil
	}
}

// URL returns the server's URL, with the user and the password in Options.
func (s *Server) URL() string {
	if s.Options.Username == "" {
		return s.URLOf("")
	}
	return s.URLOf(url.UserPassword(s.Options.Username, s.Options.Password).String())
}

// URLOf returns the server's URL with a user and a password, or a token, as in "user:password".
func (s *Server) URLOf(user string) string {
	if user != "" {
		user += "@"
	}
	return fmt.Sprintf("nats://%s127.0.0.1:%d", user, s.Options.Port)
}

// Conn returns a connection of another client, which the test closes at its end.
func (s *Server) Conn(options ...nats.Option) *nats.Conn {
	s.t.Helper()
	c, err := nats.Connect(s.URL(), options...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// JetStream returns JetStream as another client sees it.
func (s *Server) JetStream(options ...nats.Option) jetstream.JetStream {
	s.t.Helper()
	js, err := jetstream.New(s.Conn(options...))
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

// A Cluster is servers that store each stream together.
type Cluster []*Server

// StartCluster starts a cluster of three servers that the test stops at its end.
func StartCluster(t testing.TB, change ...func(*server.Options)) Cluster {
	t.Helper()
	c := make(Cluster, 3)
	routes := make([]*url.URL, len(c))
	for i := range c {
		port := FreePort(t)
		routes[i] = &url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", port)}
		c[i] = &Server{t: t, Options: &server.Options{
			ServerName: fmt.Sprint("nats", i), Host: "127.0.0.1", Port: FreePort(t),
			Cluster:   server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port},
			Routes:    routes,
			JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		}}
		for _, f := range change {
			f(c[i].Options)
		}
	}
	t.Cleanup(func() {
		for _, s := range c {
			s.Stop()
		}
	})
	for _, s := range c {
		s.Restart()
	}
	return c
}

// URLs returns the URLs of some of the servers, separated by commas, or of all.
func (c Cluster) URLs(servers ...int) string {
	if len(servers) == 0 {
		servers = []int{0, 1, 2}
	}
	var urls []string
	for _, i := range servers {
		urls = append(urls, c[i].URL())
	}
	return strings.Join(urls, ",")
}

// FreePort returns a port that nobody uses. Another process can only get it by asking for that
// number: it is below those that the kernel chooses for outgoing connections. So it stays free
// while a server that uses it is stopped.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 10_000 + rand.IntN(20_000)
		if ln, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			_ = ln.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
