// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

// A final refusal of the servers is an error that says what to do, without waiting.
func TestOpenNamesTheRemedy(t *testing.T) {
	t.Parallel() // mostly waits
	other := func(change func(*jetstream.StreamConfig)) func(*testing.T, jetstream.JetStream) {
		return func(t *testing.T, js jetstream.JetStream) {
			cfg := jetstream.StreamConfig{Name: storage.EventsStream, Subjects: []string{storage.EventsPrefix + ">"}}
			change(&cfg)
			if _, err := js.CreateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		}
	}
	limit := func(limits server.JetStreamAccountLimits) func(*testing.T, *server.Server) {
		return func(t *testing.T, s *server.Server) {
			if err := s.GlobalAccount().UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": limits}); err != nil {
				t.Fatal(err)
			}
		}
	}
	deny := func(subjects ...string) func(*server.Options) {
		return func(o *server.Options) {
			o.Users = []*server.User{{Username: "u", Password: "p4ssword", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{">"}, Deny: subjects},
				Subscribe: &server.SubjectPermission{Allow: []string{">"}, Deny: subjects},
			}}}
		}
	}
	for _, c := range []struct {
		name   string
		server func(*server.Options)
		limit  func(*testing.T, *server.Server)
		before func(*testing.T, jetstream.JetStream)
		user   string
		cfg    Config
		bytes  int64 // of retention
		says   []string
	}{
		{"JetStream is off", func(o *server.Options) { o.JetStream = false }, nil, nil, "", Config{}, 0, []string{"JetStream", "enable JetStream"}},
		{"no room", func(o *server.Options) { o.JetStreamMaxStore = 10 << 20 }, nil, nil, "", Config{}, 20 << 20, []string{storage.EventsStream, "needs 20971520 bytes", "--retention-bytes"}},
		{"no more streams", nil, limit(server.JetStreamAccountLimits{MaxMemory: -1, MaxStore: 1 << 30, MaxStreams: 1, MaxConsumers: -1}),
			other(func(c *jetstream.StreamConfig) { c.Name = "mine"; c.Subjects = []string{"mine"} }), "", Config{}, 0, []string{"max_streams"}},
		{"bytes are required", nil, limit(server.JetStreamAccountLimits{MaxMemory: -1, MaxStore: 1 << 30, MaxStreams: -1, MaxConsumers: -1, MaxBytesRequired: true}), nil, "", Config{}, 0, []string{"max_bytes_required"}},
		{"too large for the account", nil, limit(server.JetStreamAccountLimits{MaxMemory: -1, MaxStore: 1 << 20, MaxStreams: -1, MaxConsumers: -1}), nil, "", Config{}, 20 << 20, []string{"needs 20971520 bytes", "--retention-bytes"}},
		{"too many replicas", nil, nil, nil, "", Config{Replicas: 3}, 0, []string{"--log-replicas"}},
		{"other subjects", nil, nil, other(func(c *jetstream.StreamConfig) { c.Subjects = []string{"orders.>"} }), "", Config{}, 0, []string{"orders.>", "another configuration", "another account"}},
		{"other storage", nil, nil, other(func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }), "", Config{}, 0, []string{"storage", "another account"}},
		{"other retention", nil, nil, other(func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }), "", Config{}, 0, []string{"retention policy", "another account"}},
		{"no acknowledgements", nil, nil, other(func(c *jetstream.StreamConfig) { c.NoAck = true }), "", Config{}, 0, []string{"acknowledge", "another account"}},
		{"its subjects are taken", nil, nil, other(func(c *jetstream.StreamConfig) { c.Name = "mine"; c.Subjects = []string{"gatecast.>"} }), "", Config{}, 0, []string{"another stream", "another account"}},
		{"no right to JetStream", deny("$JS.>"), nil, nil, "u:p4ssword", Config{}, 0, []string{"Permissions Violation", "allow the user"}},
		{"no right to its inbox", deny("_INBOX.>"), nil, nil, "u:p4ssword", Config{}, 0, []string{"Permissions Violation", "allow the user"}},
		{"no right to the bus", deny("gatecast.bus.>"), nil, nil, "u:p4ssword", Config{}, 0, []string{"Permissions Violation", "allow the user"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := natsenv.Start(t, c.server)
			if c.limit != nil {
				c.limit(t, s.Server)
			}
			if c.before != nil {
				c.before(t, s.JetStream())
			}
			cfg := c.cfg
			cfg.URL, cfg.Logger = s.URLOf(c.user), slog.New(slog.DiscardHandler)
			ctx, cancel := context.WithTimeout(t.Context(), OpenPatience-absentFor)
			defer cancel()
			l, err := openLog(ctx, cfg, eventlog.Config{RetentionBytes: c.bytes})
			if err == nil {
				_ = l.Close()
				t.Fatal("it opens")
			}
			if ctx.Err() != nil {
				t.Errorf("it was waited for: %v", err)
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "p4ssword") {
				t.Errorf("%q", err)
			}
		})
	}
}
