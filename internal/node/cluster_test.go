// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/test/testenv/natsenv"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
)

// A natsCluster is three NATS servers.
type natsCluster struct {
	natsenv.Cluster
	t *testing.T
}

// natsPassword has what must be escaped in a URL.
const natsPassword = "p4ss/w@rd: of NATS"

// startNATS starts a cluster and waits for its leader.
func startNATS(t *testing.T) *natsCluster {
	t.Helper()
	c := &natsCluster{natsenv.StartCluster(t, func(o *server.Options) { o.Username, o.Password = "gatecast", natsPassword }), t}
	c.awaitLeader()
	return c
}

func (c *natsCluster) awaitLeader() {
	c.t.Helper()
	eventually(c.t, "JetStream has a leader", func() bool {
		for _, s := range c.Cluster {
			if s.Server != nil && s.JetStreamIsLeader() {
				return true
			}
		}
		return false
	})
}

// node starts a node on the cluster. The changes are made to its Config before.
func (c *natsCluster) node(id string, changes ...func(*Config)) *system {
	c.t.Helper()
	cfg := config(c.t)
	cfg.Log, cfg.NodeID = c.URLs(), id
	for _, change := range changes {
		change(&cfg)
	}
	return start(c.t, cfg)
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	pause := 50 * time.Microsecond
	for deadline := time.Now().Add(30 * time.Second); !is(); pause = min(2*pause, 10*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it is not so that %s", what)
		}
		time.Sleep(pause)
	}
}

// publishWhenPossible publishes until the log takes it.
func (s *system) publishWhenPossible(gateway, key string) (id string) {
	s.t.Helper()
	eventually(s.t, "events are taken", func() bool {
		var receipt struct{ ID string }
		body := fmt.Sprintf(`{"gatewayId":%q,"type":"t","key":%q}`, gateway, key)
		status := s.call("POST", root+"/events", body, &receipt)
		id = receipt.ID
		return status == 202
	})
	return id
}

// Three nodes on three servers: a request to one node takes effect on all.
func TestCluster(t *testing.T) {
	t.Parallel() // mostly waits
	if testing.Short() {
		t.Skip("starts three NATS servers")
	}
	c := startNATS(t)
	a, b, third := c.node("a"), c.node("b"), c.node("c")

	token, tokenID := a.gateway("g", "prod")
	otherToken, _ := b.gateway("other", "prod")
	eventually(t, "every node knows the gateways", func() bool {
		return b.call("GET", root+"/gateways/g", "", nil) == 200 && third.call("GET", root+"/gateways/other", "", nil) == 200 &&
			a.call("GET", root+"/gateways/other", "", nil) == 200
	})
	ra, rb := a.connect(token), b.connect(token)
	other := third.connect(otherToken)
	eventually(t, "every node counts the gateways of all", func() bool {
		for _, s := range []*system{a, b, third} {
			if _, connected, _ := s.registry.Reach(event.Target{GatewayIDs: []string{"g", "other"}}); connected != 2 {
				return false
			}
		}
		return true
	})

	// An event has the same id everywhere, whoever published it.
	first := a.publish("g", `1`)
	second := third.publish("g", `2`)
	ra.expect(first, second)
	rb.expect(first, second)

	// A gateway that goes to another node goes on there.
	_ = ra.CloseNow()
	third3 := b.publish("g", `3`)
	rb.expect(third3)
	moved := third.resume(token, second)
	moved.expect(third3)

	// What became of an event is known on every node.
	ack(t, moved, third3)
	group := a.publishGroup("prod")
	other.expect(group)
	for _, s := range []*system{a, b, third} {
		eventually(t, "the outcome is known on "+s.cfg.NodeID, func() bool {
			o := s.outcome(third3)
			g := s.outcome(group)
			return o.Acked == 1 && g.Delivered == 2 && g.Pending == 0
		})
	}

	// The stats of the cluster are those of all nodes.
	var stats struct {
		GatewayConnections struct {
			TotalActive int
			Connections []struct{ Node, ConnectionID string }
		}
		Nodes       []struct{ ID string }
		NotAnswered []string
	}
	eventually(t, "the stats count all nodes", func() bool {
		a.call("GET", root+"/stats?scope=cluster", "", &stats)
		return stats.GatewayConnections.TotalActive == 3 && len(stats.Nodes) == 3 && len(stats.NotAnswered) == 0
	})

	// A connection is closed wherever it is, and so are those of a token.
	for _, conn := range stats.GatewayConnections.Connections {
		if conn.Node == "c" && conn.ConnectionID == other.ack["connectionId"] {
			if status := a.call("DELETE", root+"/connections/"+conn.ConnectionID, "", nil); status != 204 {
				t.Errorf("DELETE of another node's connection: %d", status)
			}
		}
	}
	if code := other.closed(); code != 1000 {
		t.Errorf("closed with %d", code)
	}
	if status := a.call("DELETE", root+"/gateways/g/tokens/"+tokenID, "", nil); status != 204 {
		t.Fatalf("DELETE of the token: %d", status)
	}
	for _, r := range []*replica{rb, moved} {
		if code := r.closed(); code != 1008 {
			t.Errorf("closed with %d", code)
		}
	}

	// A node that goes says so, and its gateways with it.
	b.drain()
	eventually(t, "nobody misses the node that went", func() bool {
		a.call("GET", root+"/stats?scope=cluster", "", &stats)
		return len(stats.Nodes) == 2 && len(stats.NotAnswered) == 0
	})
}

// Losing a server loses nothing; losing the quorum is 503 for publishers while
// connections stay, and heals by itself.
func TestClusterLosesServers(t *testing.T) {
	t.Parallel() // mostly waits
	if testing.Short() {
		t.Skip("starts three NATS servers")
	}
	c := startNATS(t)
	a, b := c.node("a"), c.node("b")
	token, _ := a.gateway("g")
	eventually(t, "both nodes know the gateway", func() bool { return b.call("GET", root+"/gateways/g", "", nil) == 200 })
	ra, rb := a.connect(token).collect(), b.connect(token).collect()
	var ids []string
	for i := range c.Cluster {
		ids = append(ids, a.publishWhenPossible("g", fmt.Sprint("before ", i)))
		c.Cluster[i].Stop()
		ids = append(ids, b.publishWhenPossible("g", fmt.Sprint("without ", i)))
		c.Cluster[i].Restart()
		c.awaitLeader()
	}
	c.Cluster[0].Stop()
	c.Cluster[1].Stop()
	eventually(t, "gateways are refused", func() bool {
		_, resp, err := a.dial(token, "")
		return err != nil && resp != nil && resp.StatusCode == 503
	})
	if status := a.call("POST", root+"/events", `{"gatewayId":"g","type":"t"}`, nil); status != 503 {
		t.Errorf("a publish without a quorum: %d", status)
	}
	c.Cluster[0].Restart()
	c.Cluster[1].Restart()
	ids = append(ids, a.publishWhenPossible("g", "after"))
	for _, r := range []*collector{ra, rb} {
		eventually(t, "the last event came", func() bool { return slices.Contains(r.got(), ids[len(ids)-1]) })
		// What was answered with 503 may have come too.
		got := slices.DeleteFunc(r.got(), func(id string) bool { return !slices.Contains(ids, id) })
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Error(diff)
		}
	}
}

func (s *system) publishGroup(group string) string {
	s.t.Helper()
	var receipt struct{ ID string }
	if status := s.call("POST", root+"/events", fmt.Sprintf(`{"group":%q,"type":"t"}`, group), &receipt); status != 202 {
		s.t.Fatalf("POST /events: %d", status)
	}
	return receipt.ID
}

type outcomeJSON struct{ Targets, Delivered, Acked, Failed, Pending int }

func (s *system) outcome(id string) (o outcomeJSON) {
	s.t.Helper()
	s.call("GET", root+"/events/"+id, "", &o)
	return o
}

func ack(t *testing.T, r *replica, id string) {
	t.Helper()
	b, _ := json.Marshal(map[string]string{"type": "event.ack", "id": id})
	if err := r.Write(context.Background(), 1, b); err != nil {
		t.Fatal(err)
	}
}

// A collector reads a connection as its events come.
type collector struct {
	mu  sync.Mutex
	ids []string
}

// collect reads the rest of the connection, to the test's end.
func (r *replica) collect() *collector {
	c := new(collector)
	go func() {
		for {
			_, b, err := r.Read(context.Background())
			if err != nil {
				return
			}
			var e struct{ ID string }
			_ = json.Unmarshal(b, &e) // without an id it will not be missed
			c.mu.Lock()
			c.ids = append(c.ids, e.ID)
			c.mu.Unlock()
		}
	}()
	return c
}

func (c *collector) got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ids)
}
