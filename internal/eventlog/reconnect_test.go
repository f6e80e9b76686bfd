// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// A single is one NATS server that others run, on a port and a store of its own.
type single struct {
	t       *testing.T
	options *server.Options
	server  *server.Server
}

// startSingle starts a server; change changes its options before.
func startSingle(t *testing.T, change func(*server.Options)) *single {
	t.Helper()
	s := &single{t: t, options: &server.Options{
		ServerName: "nats", Host: "127.0.0.1", Port: freePort(t),
		JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	}}
	t.Cleanup(s.stop)
	s.start(change)
	return s
}

// start starts the server, again after it was stopped; change changes the options of
// this start only.
func (s *single) start(change func(*server.Options)) {
	s.t.Helper()
	o := s.options.Clone()
	if change != nil {
		change(o)
	}
	srv, err := server.NewServer(o)
	if err != nil {
		s.t.Fatal(err)
	}
	srv.Start()
	s.server = srv
	if !srv.ReadyForConnections(20 * time.Second) {
		s.t.Fatal("the server does not start")
	}
}

func (s *single) stop() {
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
		s.server = nil
	}
}

func (s *single) url(user string) string {
	if user != "" {
		user += "@"
	}
	return fmt.Sprintf("nats://%s127.0.0.1:%d", user, s.options.Port)
}

// client connects to the server as somebody else does.
func (s *single) client() jetstream.JetStream {
	s.t.Helper()
	c, err := nats.Connect(s.url(""))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	js, err := jetstream.New(c)
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

// refusals are the ways in which a server refuses a client, and takes it.
func refusals(t *testing.T) []refusal {
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	otherPublic, err := other.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return []refusal{
		{"password", "u:p4ssword", nil,
			func(o *server.Options) { o.Username, o.Password = "u", "p4ssword" },
			func(o *server.Options) { o.Username, o.Password = "u", "another" }},
		{"token", "t0ken12", nil,
			func(o *server.Options) { o.Authorization = "t0ken12" },
			func(o *server.Options) { o.Authorization = "another" }},
		{"nkey", "", []nats.Option{nats.Nkey(public, key.Sign)},
			func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} },
			func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: otherPublic}} }},
	}
}

type refusal struct {
	name, user   string
	options      []nats.Option
	takes, other func(*server.Options)
}

// A server that refuses the log for a while, as while a password is changed, gets it
// back when it takes it again.
func TestHealsWhenRefused(t *testing.T) {
	for _, c := range refusals(t) {
		t.Run(c.name, func(t *testing.T) {
			s := startSingle(t, c.takes)
			lost := make(chan error, 1)
			l := open(t, Config{URL: s.url(c.user), options: c.options, OnLost: func(err error) { lost <- err }, Logger: slog.New(slog.DiscardHandler)})
			add(t, l, 1)
			s.stop()
			s.start(c.other)
			eventually(t, "it was refused several times", func() bool { return refusedTimes(t, s) >= 4 })
			s.stop()
			s.start(c.takes)
			eventually(t, "it is reached again", func() bool { return l.Check(t.Context()) == nil })
			add(t, l, 2)
			select {
			case err := <-lost:
				t.Error(err)
			default:
			}
		})
	}
}

// So does one that refuses the log when it is opened.
func TestOpensWhenTakenAgain(t *testing.T) {
	for _, c := range refusals(t) {
		t.Run(c.name, func(t *testing.T) {
			s := startSingle(t, c.other)
			opened := make(chan error, 1)
			go func() {
				l, err := Open(t.Context(), Config{URL: s.url(c.user), options: c.options, Logger: slog.New(slog.DiscardHandler)})
				if err == nil {
					err = l.Close()
				}
				opened <- err
			}()
			eventually(t, "it was refused", func() bool { return refusedTimes(t, s) >= 1 })
			o := s.options.Clone()
			c.takes(o)
			if err := s.server.ReloadOptions(o); err != nil {
				t.Fatal(err)
			}
			if err := <-opened; err != nil {
				t.Error(err)
			}
		})
	}
}

// One that goes on refusing is an error, which says what to do.
func TestOpenRefused(t *testing.T) {
	c := refusals(t)[0]
	s := startSingle(t, c.other)
	_, err := Open(t.Context(), Config{URL: s.url(c.user), Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, nats.ErrAuthorization) || !strings.Contains(err.Error(), "; give it the user and password") || strings.Contains(err.Error(), "p4ssword") {
		t.Error(err)
	}
}

func refusedTimes(t *testing.T, s *single) int {
	closed, err := s.server.Connz(&server.ConnzOptions{State: server.ConnClosed})
	if err != nil {
		t.Error(err)
		return 0
	}
	return closed.Total
}
