// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/gatecast/gatecast/test/testenv"
	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

// refusals returns ways in which a server can refuse a client.
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

// A log reconnects when a server that has refused it for a while accepts it again, as after a
// change of the password.
func TestHealsWhenRefused(t *testing.T) {
	t.Parallel() // mostly waits
	for _, c := range refusals(t) {
		t.Run(c.name, func(t *testing.T) {
			s := natsenv.Start(t, c.takes)
			lost := make(chan error, 1)
			l := open(t, Config{URL: s.URLOf(c.user), Options: c.options, OnLost: func(err error) { lost <- err }, Logger: slog.New(slog.DiscardHandler)})
			add(t, l, 1)
			s.Stop()
			s.Restart(c.other)
			testenv.Eventually(t, "it was refused several times", func() bool { return refusedTimes(t, s) >= 4 })
			s.Stop()
			s.Restart(c.takes)
			testenv.Eventually(t, "it is reached again", func() bool { return l.Check(t.Context()) == nil })
			add(t, l, 2)
			select {
			case err := <-lost:
				t.Error(err)
			default:
			}
		})
	}
}

// A log that is being opened waits for that too.
func TestOpensWhenTakenAgain(t *testing.T) {
	for _, c := range refusals(t) {
		t.Run(c.name, func(t *testing.T) {
			s := natsenv.Start(t, c.other)
			opened := make(chan error, 1)
			go func() {
				l, err := openLog(t.Context(), Config{URL: s.URLOf(c.user), Options: c.options, Logger: slog.New(slog.DiscardHandler)})
				if err == nil {
					err = l.Close()
				}
				opened <- err
			}()
			testenv.Eventually(t, "it was refused", func() bool { return refusedTimes(t, s) >= 1 })
			o := s.Options.Clone()
			c.takes(o)
			if err := s.Server.ReloadOptions(o); err != nil {
				t.Fatal(err)
			}
			if err := <-opened; err != nil {
				t.Error(err)
			}
		})
	}
}

// A server that keeps refusing is an error, which says what to do.
func TestOpenRefused(t *testing.T) {
	t.Parallel() // mostly waits
	c := refusals(t)[0]
	s := natsenv.Start(t, c.other)
	_, err := openLog(t.Context(), Config{URL: s.URLOf(c.user), Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, nats.ErrAuthorization) || !strings.Contains(err.Error(), "; give it the user and password") || strings.Contains(err.Error(), "p4ssword") {
		t.Error(err)
	}
}

func refusedTimes(t *testing.T, s *natsenv.Server) int {
	closed, err := s.Server.Connz(&server.ConnzOptions{State: server.ConnClosed})
	if err != nil {
		t.Error(err)
		return 0
	}
	return closed.Total
}
