// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/settings"
	"github.com/gatecast/gatecast/test/testenv/natsenv"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A oneNATS is one NATS server, for nodes that share it.
type oneNATS struct {
	*natsenv.Server
	t *testing.T
}

func startOneNATS(t *testing.T, change ...func(*server.Options)) *oneNATS {
	t.Helper()
	return &oneNATS{natsenv.Start(t, change...), t}
}

// node starts a node on the server.
func (s *oneNATS) node(id string, changes ...func(*Config)) *system {
	s.t.Helper()
	cfg := config(s.t)
	cfg.Log, cfg.NodeID = s.URL(), id
	for _, change := range changes {
		change(&cfg)
	}
	return start(s.t, cfg)
}

func (s *system) isReady() bool { return s.ready(s.t.Context()) == nil }

// refusal returns the status of a connect that is refused, 101 for one that is not.
func (s *system) refusal(token string) int {
	c, resp, err := s.dial(token, "")
	if err == nil {
		c.CloseNow()
		return http.StatusSwitchingProtocols
	}
	if resp == nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode
}

// After NATS was away for a moment, a node that is ready knows what others have changed
// by then: tokens that were revoked, gateways that were added or removed.
func TestRegistryAfterRestartOfNATS(t *testing.T) {
	t.Parallel() // mostly waits
	nats := startOneNATS(t)
	a, b := nats.node("a"), nats.node("b")
	token, tokenID := a.gateway("revoked")
	removed, _ := a.gateway("removed")
	stays, _ := a.gateway("stays")
	eventually(t, "both know the gateways", func() bool { return b.refusal(stays) == 101 })
	revokedConn, removedConn, staying := b.connect(token), b.connect(removed), b.connect(stays)

	nats.Stop()
	eventually(t, "neither is ready", func() bool { return !a.isReady() && !b.isReady() })
	if got := b.refusal(token); got != 503 {
		t.Errorf("without NATS a gateway is answered with %d", got)
	}
	nats.Restart()
	change := func(method, path, body string, want int) {
		t.Helper()
		eventually(t, method+" "+path+" is done", func() bool { return a.call(method, root+path, body, nil) == want })
	}
	change("DELETE", "/gateways/revoked/tokens/"+tokenID, "", 204)
	change("DELETE", "/gateways/removed", "", 204)
	var added struct{ Token string }
	if status := a.call("POST", root+"/gateways", `{"id":"added","name":"n"}`, &added); status != 201 {
		t.Fatal(status)
	}
	// A gateway added on a can connect to b at once: b accepts it, or asks it to retry.
	for {
		got := b.refusal(added.Token)
		if got == 101 {
			break
		}
		if got != 503 {
			t.Fatalf("a newcomer is answered with %d", got)
		}
	}
	eventually(t, "b is ready", b.isReady)
	for name, token := range map[string]string{"revoked": token, "removed": removed} {
		if got := b.refusal(token); got != 401 {
			t.Errorf("a ready node answers a token of %s with %d", name, got)
		}
	}
	if got := revokedConn.closed(); got != 1008 {
		t.Errorf("the connection with the revoked token is closed with %d", got)
	}
	if got := removedConn.closed(); got != 1008 {
		t.Errorf("the connection of the removed gateway is closed with %d", got)
	}
	eventually(t, "a takes events", func() bool {
		return a.call("POST", root+"/events", `{"gatewayId":"stays","type":"a.b"}`, nil) == 202
	})
	if frame := staying.next(); frame["type"] != "a.b" {
		t.Errorf("the gateway that stays gets %v", frame)
	}
}

// A newcomer that comes to another node than the one that added it is let in.
func TestNewcomerOnAnotherNode(t *testing.T) {
	t.Parallel() // mostly waits
	nats := startOneNATS(t)
	a, b := nats.node("a"), nats.node("b")
	for i := range 50 {
		token, _ := a.gateway(fmt.Sprint("edge-", i))
		if got := b.refusal(token); got != 101 {
			t.Fatalf("newcomer %d is answered with %d", i, got)
		}
		if status := b.call("POST", root+"/events", fmt.Sprintf(`{"gatewayId":"edge-%d","type":"a.b"}`, i), nil); status != 202 {
			t.Fatalf("an event for newcomer %d is answered with %d", i, status)
		}
	}
	if got := b.refusal("gc_nobody-has-this-token"); got != 401 {
		t.Errorf("a token of nobody is answered with %d", got)
	}
}

// The streams of the registry and of the journals are made again when they are gone,
// the registry with what the nodes know. A node is not ready before.
func TestStreamsAreMadeAgain(t *testing.T) {
	t.Parallel() // mostly waits
	nats := startOneNATS(t)
	a, b := nats.node("a"), nats.node("b")
	token, _ := a.gateway("edge", "g")
	conn := b.connect(token)
	js := nats.JetStream()
	for _, stream := range []string{"KV_" + registryBucket, "gatecast_messages", "gatecast_failures", "gatecast_outcomes"} {
		if err := js.DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(stream, err)
		}
	}
	eventually(t, "a registers gateways again", func() bool {
		return a.call("POST", root+"/gateways", `{"id":"other","name":"n"}`, nil) == 201
	})
	eventually(t, "both are ready", func() bool { return a.isReady() && b.isReady() })
	for _, stream := range []string{"KV_" + registryBucket, "gatecast_messages", "gatecast_failures", "gatecast_outcomes"} {
		eventually(t, stream+" is there", func() bool {
			_, err := js.Stream(t.Context(), stream)
			return err == nil
		})
	}
	id := a.publish("edge", "1")
	conn.expect(id)
	c := nats.node("c") // knows the registry from NATS alone
	if got := c.refusal(token); got != 101 {
		t.Errorf("a new node answers a gateway with %d", got)
	}
	// What nobody was connected for is recorded again.
	missed := a.publish("other", "2")
	eventually(t, "the failure is recorded", func() bool {
		var page struct{ Deliveries []struct{ EventID string } }
		return a.call("GET", root+"/deliveries?status=failed", "", &page) == 200 && len(page.Deliveries) == 1 && page.Deliveries[0].EventID == missed
	})
	eventually(t, "b knows that it was delivered", func() bool { o := b.outcome(id); return o.Delivered == 1 })
}

// An event that NATS does not take is refused, and not to be published again; so is such
// a line of a bulk publish. The others are taken.
func TestMaxPayloadOfNATS(t *testing.T) {
	nats := startOneNATS(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	n := nats.node("a")
	n.gateway("edge")
	event := func(size int) string {
		return fmt.Sprintf(`{"gatewayId":"edge","type":"a.b","payload":"%s"}`, strings.Repeat("x", size))
	}
	var refusal struct{ Error, Message string }
	if status := n.call("POST", root+"/events", event(100_000), &refusal); status != 413 || !strings.Contains(refusal.Message, "max_payload") || !strings.Contains(refusal.Message, "65536") {
		t.Errorf("answered with %d, %+v", status, refusal)
	}
	if status := n.call("POST", root+"/events", event(60_000), nil); status != 202 {
		t.Errorf("one that fits is answered with %d", status)
	}
	answer := n.bulk(event(10) + "\n" + event(100_000) + "\n" + event(20) + "\n")
	var results []string
	for line := range strings.Lines(answer) {
		var r struct{ ID, Error string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		switch {
		case r.ID != "":
			results = append(results, "taken")
		default:
			results = append(results, r.Error)
		}
	}
	if want := []string{"taken", "payload_too_large", "taken"}; !slices.Equal(results, want) {
		t.Errorf("lines are %v; want %v", results, want)
	}
	if !strings.Contains(n.logs.String(), "is below --max-payload") {
		t.Error("the log has no warning")
	}
}

// bulk publishes lines, and returns the lines of the answer.
func (s *system) bulk(lines string) string {
	s.t.Helper()
	req, err := http.NewRequest("POST", "http://"+s.InternalAddr().String()+root+"/events", strings.NewReader(lines))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.admin)
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(answer)
}

// A second node of one name does not start, and the first is not disturbed; when that
// one has stopped or was killed, the next does.
func TestTwoNodesOfOneName(t *testing.T) {
	t.Parallel() // mostly waits
	nats := startOneNATS(t)
	first := nats.node("same")
	second := config(t)
	second.Log, second.NodeID = nats.URL(), "same"
	_, err := Start(t.Context(), second)
	if wrong, ok := errors.AsType[*settings.Error](err); !ok || wrong.Setting != "node" || !strings.Contains(err.Error(), "same") {
		t.Fatalf("the second node: %v", err)
	}
	if !first.isReady() {
		t.Error("the first node is not ready")
	}
	nats.node("other")
	first.drain()
	nats.node("same")
}

// Of nodes of one name that start at once, one does.
func TestNodesOfOneNameAtOnce(t *testing.T) {
	nats := startOneNATS(t)
	started := make(chan *Node, 3)
	for range 3 {
		cfg := config(t)
		cfg.Log, cfg.NodeID = nats.URL(), "same"
		cfg.Logger = slog.New(slog.DiscardHandler)
		go func() {
			n, err := Start(t.Context(), cfg)
			if wrong, ok := errors.AsType[*settings.Error](err); err != nil && (!ok || wrong.Setting != "node") {
				t.Error(err)
			}
			started <- n
		}()
	}
	var running []*Node
	for range 3 {
		if n := <-started; n != nil {
			running = append(running, n)
		}
	}
	if len(running) != 1 {
		t.Errorf("%d nodes have started", len(running))
	}
	for _, n := range running {
		if err := n.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// The name of a dead node is free: its subscription can exist for a while longer, but
// nobody answers.
func TestNameOfDeadNode(t *testing.T) {
	server := startOneNATS(t)
	dead, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	if _, err := dead.SubscribeSync("gatecast.bus.name.same"); err != nil {
		t.Fatal(err)
	}
	if err := dead.Flush(); err != nil {
		t.Fatal(err)
	}
	server.node("same")
}
