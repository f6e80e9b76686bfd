// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/gatecast/gatecast/internal/api"
	"github.com/gatecast/gatecast/internal/delivery"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/test/testenv/natsenv"

	"github.com/google/uuid"
)

// A node that stops is asked by another one all the while, for its connections and to
// close some. It answers or does not, and never panics.
func TestStopWhileOthersAsk(t *testing.T) {
	url := natsenv.Start(t).URL()
	member := func(id string) *system {
		cfg := config(t)
		cfg.Log, cfg.NodeID, cfg.Shards = url, id, 8
		return start(t, cfg)
	}
	a := member("a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _, _ = apiCluster{a.peers}.Stats(ctx, api.PageQuery{Limit: 10})
				_, _ = a.peers.CloseConnection(ctx, uuid.New())
			}
		})
	}
	for i := range 3 {
		b := member(fmt.Sprint("b", i))
		if _, _, err := (apiCluster{a.peers}).Stats(t.Context(), api.PageQuery{Limit: 10}); err != nil {
			t.Fatal(err)
		}
		b.drain()
	}
	cancel()
	wg.Wait()
}

// What a request that was cut off still calls, when all has ended, is refused: nothing
// hangs, nothing panics.
func TestUseAfterStop(t *testing.T) {
	s := start(t, config(t))
	s.gateway("g")
	id, err := event.ParseCursor(s.publish("g", `{}`))
	if err != nil {
		t.Fatal(err)
	}
	n, ctx := s.Node, t.Context()
	s.drain()
	n.stop() // harmless

	for what, f := range map[string]func() error{
		"a page of connections": func() error { _, _, err := apiConnections{n.router, n.peers}.Page(ctx, "", "", 1); return err },
		"an append": func() error {
			ev := &event.Event{Target: event.Target{All: true}, Type: "t", CorrelationID: "c"}
			_, err := n.log.AppendAsync(ev, ev.AppendBody(nil))
			return err
		},
		"an event":         func() error { _, err := apiEvents{n}.Event(ctx, id); return err },
		"a list of events": func() error { _, _, _, err := apiEvents{n}.List(ctx, api.ListQuery{Limit: 1}); return err },
		"failed deliveries": func() error {
			_, _, err := apiFailures{n.recorder}.List(ctx, api.FailureQuery{Limit: 1})
			return err
		},
		"messages": func() error {
			_, _, err := apiMessages{n.recorder}.List(ctx, api.MessageQuery{Limit: 1})
			return err
		},
		"a change of the registry": func() error { return n.registry.Remove(ctx, "g") },
		"verified tokens":          func() error { return n.registry.RevokeVerified("g") },
		"the log":                  func() error { return n.ready(ctx) },
	} {
		if err := f(); err == nil {
			t.Errorf("%s: no error after the node has stopped", what)
		}
	}
	n.router.Kick("g", "", event.TokenRevoked)
	n.recorder.Missed(delivery.Missed{Total: 1, Gateways: []string{"g"}})
	n.connlog.Push(shard.Notice{Kind: shard.Connected})
	n.recorder.Report(shard.Report{})
	n.dispatcher.ResumeFrom(ctx, id.String(), false)
	n.Reload()
	if found, err := (apiConnections{n.router, n.peers}).CloseConnection(ctx, uuid.New()); found || err != nil {
		t.Errorf("CloseConnection = %v, %v", found, err)
	}
}
