// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"
	"github.com/gatecast/gatecast/stats/metrics"

	"pgregory.net/rapid"
)

// A fakeCluster asks other servers in this process.
type fakeCluster struct {
	nodes   []*Server
	missing []string
	fail    error
	bounded bool // the last call had a deadline
}

func (f *fakeCluster) Stats(ctx context.Context, q PageQuery) (parts []NodeStats, missing []string, err error) {
	_, f.bounded = ctx.Deadline()
	if f.fail != nil {
		return nil, nil, f.fail
	}
	var asked PageQuery
	carry(q, &asked)
	for _, s := range f.nodes {
		part, err := s.NodeStats(ctx, asked)
		if err != nil {
			missing = append(missing, s.cfg.NodeID)
			continue
		}
		var heard NodeStats
		carry(part, &heard)
		parts = append(parts, heard)
	}
	return parts, append(missing, f.missing...), nil
}

// carry makes a copy as JSON does.
func carry(from, to any) {
	b, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		panic(err)
	}
}

// unserved returns a node without a listener that has so many connections.
func unserved(id string, connections int) *Server {
	return New(Config{
		NodeID: id, Version: "1.2.3", StartedAt: time.Unix(1000, 0), Connections: &fakeConnections{n: connections},
		Shards: []*stats.Shard{stats.NewShard()}, Node: metrics.NewNode("1.2.3"),
	})
}

func TestClusterStatsAsOneText(t *testing.T) {
	other := unserved("n0", 1)
	other.cfg.Shards[0].Connections.Set(1)
	other.cfg.Shards[0].Delivered.Add(5)
	other.cfg.Shards[0].Fail(event.FailedLost, 1, time.Unix(4000, 0))
	older := unserved("n2", 0)
	older.cfg.Node.Failures.Fail(event.Rejected, 4, time.Unix(2000, 0))
	cluster := &fakeCluster{nodes: []*Server{older, other}, missing: []string{"n9", "n3"}}
	r := start(t, func(c *Config, _ *limits) { c.Cluster = cluster })
	r.conns.n = 1
	s := r.cfg.Shards[0]
	s.Connections.Set(2)
	s.Delivered.Add(7)
	s.Fail(event.NotConnected, 2, time.Unix(3000, 0))

	const n0 = `{"id":"n0","version":"1.2.3","startedAt":"1970-01-01T00:16:40.000000000Z","shards":[{"connections":1,"gateways":0,"queued":0,"delivered":5}]}`
	const n1 = `{"id":"n1","version":"1.2.3","startedAt":"1970-01-01T00:16:40.000000000Z","shards":[` +
		`{"connections":2,"gateways":0,"queued":0,"delivered":7},{"connections":0,"gateways":0,"queued":0,"delivered":0}]}`
	const n2 = `{"id":"n2","version":"1.2.3","startedAt":"1970-01-01T00:16:40.000000000Z","shards":[{"connections":0,"gateways":0,"queued":0,"delivered":0}]}`
	const connection = `{"gatewayId":"g1","connectionId":"01000000-0000-0000-0000-000000000000","connectedAt":"1970-01-01T00:25:00.000000000Z","lastHeartbeat":"1970-01-01T00:31:40.000000000Z","status":"connected",` +
		`"remoteAddr":"192.0.2.1:4000","eventsSent":0,"queuedBytes":0,"cursor":"10-7","node":"%s","shard":0}`
	want := `{"gatewayConnections":{"totalActive":3,"connections":[` + fmt.Sprintf(connection, "n0") + `,` + fmt.Sprintf(connection, "n1") + `]},` +
		`"eventDelivery":{"totalEventsSent":12,"failedDeliveries":7,"lastFailureTime":"1970-01-01T01:06:40.000000000Z","lastFailureReason":"connection lost"},` +
		`"node":` + n1 + `,"nodes":[` + n0 + `,` + n1 + `,` + n2 + `],"notAnswered":["n3","n9"]}`
	got := r.do("GET", prefix+"/stats?scope=cluster", "")
	if got.status != 200 || got.body != want || got.header.Get("Content-Type") != typeJSON {
		t.Errorf("got  %d %s\nwant %s", got.status, got.body, want)
	}
	if !cluster.bounded {
		t.Error("nodes may take any time")
	}
}

func TestClusterStatsOfOneNode(t *testing.T) {
	for _, cluster := range []Cluster{nil, &fakeCluster{}, &fakeCluster{nodes: []*Server{unserved("n1", 77)}}} {
		r := start(t, func(c *Config, _ *limits) { c.Cluster = cluster })
		r.conns.n = 3
		plain := r.do("GET", prefix+"/stats?scope=node", "").body
		got := r.do("GET", prefix+"/stats?scope=cluster", "").body
		node := plain[strings.Index(plain, `{"id":"n1"`) : len(plain)-1]
		want := strings.TrimSuffix(plain, "}") + `,"nodes":[` + node + `],"notAnswered":[]}`
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestClusterStatsErrors(t *testing.T) {
	tests := []struct {
		name, query string
		change      func(*Config, *limits)
		status      int
		want        string
	}{
		{"another scope", "?scope=world", nil, 400, `{"error":"bad_request","message":"parameter scope: want node or cluster","field":"scope"}`},
		{"an empty scope", "?scope=", nil, 400, `"field":"scope"`},
		{"limit 0", "?scope=cluster&limit=0", nil, 400, `"field":"limit"`},
		{"limit 1001", "?scope=cluster&limit=1001", nil, 400, `"field":"limit"`},
		{"not an id", "?scope=cluster&gatewayId=a%20b", nil, 400, `"field":"gatewayId"`},
		{"a foreign cursor", "?scope=cluster&cursor=at-3", nil, 400, `"message":"parameter cursor: not a cursor of this list","field":"cursor"`},
		{"a cursor of no node", "?scope=cluster&cursor=~at-3", nil, 400, `"field":"cursor"`},
		{"a foreign cursor of this node", "?scope=cluster&cursor=n1~x", nil, 400, `"field":"cursor"`},
		{"a foreign cursor of another node", "?scope=cluster&cursor=n0~x", nil, 400, `"field":"cursor"`},
		{"a shard that does not answer", "?scope=cluster", func(c *Config, _ *limits) { c.Connections = &fakeConnections{fail: errors.New("shard 1 is gone")} }, 503, "shard 1"},
		{"the other nodes cannot be asked", "?scope=cluster", func(c *Config, _ *limits) { c.Cluster = &fakeCluster{fail: errors.New("no bus")} }, 503,
			`{"error":"unavailable","message":"cannot get the stats of the cluster: cannot ask other nodes: no bus"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			changes := []func(*Config, *limits){func(c *Config, _ *limits) { c.Cluster = &fakeCluster{nodes: []*Server{unserved("n0", 9)}} }}
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			if got := start(t, changes...).do("GET", prefix+"/stats"+tt.query, ""); got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("got  %d %s\nwant %d %s", got.status, got.body, tt.status, tt.want)
			}
		})
	}
}

// A node that cannot list its connections counts as one that did not answer.
func TestClusterStatsNodeFails(t *testing.T) {
	broken := unserved("n0", 9)
	broken.cfg.Connections = &fakeConnections{fail: errors.New("a shard is gone")}
	r := start(t, func(c *Config, _ *limits) { c.Cluster = &fakeCluster{nodes: []*Server{broken}} })
	r.conns.n = 2
	got := r.do("GET", prefix+"/stats?scope=cluster", "").body
	if !strings.HasSuffix(got, `"notAnswered":["n0"]}`) || strings.Count(got, "connectionId") != 2 {
		t.Errorf("%s", got)
	}
}

// What GET /stats?scope=cluster answers, as a client reads it.
type clusterReply struct {
	statsReply
	Nodes []struct{ ID string }
}

// The pages together have every connection of every node once, node by node, whatever the limit.
func TestClusterStatsPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes []*Server
		var want []string
		for i := range rapid.IntRange(1, 4).Draw(t, "nodes") {
			id := fmt.Sprintf("n%d", i)
			n := rapid.SampledFrom([]int{0, 1, 2, 7, 40, 501}).Draw(t, "connections")
			nodes = append(nodes, unserved(id, n))
			for c := range n {
				want = append(want, id+" "+fakeConnectionID(c).String())
			}
		}
		asked := nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, "asked")]
		asked.cfg.Cluster = &fakeCluster{nodes: rapid.Permutation(nodes).Draw(t, "order")}
		limit := rapid.SampledFrom([]int{1, 3, 500, 700, 1000}).Draw(t, "limit")
		limit = max(limit, len(want)/30) // more pages would take long
		var got []string
		cursor := ""
		for {
			parts, _, err := asked.nodeParts(PageQuery{After: cursor, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			var page clusterReply
			if err := json.Unmarshal(asked.appendClusterStats(nil, parts, nil, limit), &page); err != nil {
				t.Fatal(err)
			}
			list := page.GatewayConnections
			if len(list.Connections) > limit || len(page.Nodes) != len(nodes) || page.Node.ID != asked.cfg.NodeID {
				t.Fatalf("%d connections of %d nodes on a page of %s", len(list.Connections), len(page.Nodes), page.Node.ID)
			}
			for _, c := range list.Connections {
				got = append(got, c.Node+" "+c.ConnectionID)
			}
			if cursor = list.Cursor; cursor == "" {
				break
			}
			if len(list.Connections) == 0 {
				t.Fatalf("an empty page ends with the cursor %s", cursor)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%d connections in all, want %d", len(got), len(want))
		}
	})
}

func TestClusterStatsAsksForALimitedPage(t *testing.T) {
	other := unserved("n2", 2000)
	r := start(t, func(c *Config, _ *limits) { c.Cluster = &fakeCluster{nodes: []*Server{other}} })
	r.conns.n = 300
	var got clusterReply
	for _, tt := range []struct {
		query, cursor string
		n             int
	}{
		{"", "n2~", 300}, // the other's 500 would be too many
		{"&cursor=n2~", "n2~at-500", 500},
		{"&limit=1000&cursor=n2~at-500", "n2~at-1500", 1000},
		{"&limit=1000&cursor=n2~at-1500", "", 500},
		{"&cursor=n3~at-7", "", 0},
		{"&gatewayId=g7&limit=2", "n1~at-2", 2},
	} {
		got = clusterReply{}
		body := r.do("GET", prefix+"/stats?scope=cluster"+tt.query, "").body
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		list := got.GatewayConnections
		if len(list.Connections) != tt.n || list.Cursor != tt.cursor {
			t.Errorf("%q gives %d connections and %q, want %d and %q", tt.query, len(list.Connections), list.Cursor, tt.n, tt.cursor)
		}
		if strings.Contains(tt.query, "g7") && list.Connections[0].GatewayID != "g7" {
			t.Errorf("a connection of %s", list.Connections[0].GatewayID)
		}
	}
	if most := max(r.conns.most, other.cfg.Connections.(*fakeConnections).most); most > statsPage {
		t.Errorf("%d connections were asked for at once", most)
	}
}
