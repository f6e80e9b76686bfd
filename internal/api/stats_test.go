// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"
)

// A statsReply is the answer of GET /stats as a client reads it.
type statsReply struct {
	GatewayConnections struct {
		TotalActive int
		Connections []struct{ GatewayID, ConnectionID, Node string }
		Cursor      string
	}
	EventDelivery struct{ TotalEventsSent int }
	Node          struct{ ID string }
}

func TestStatsAsOneText(t *testing.T) {
	r := start(t)
	r.conns.n = 1
	s := r.cfg.Shards[0]
	s.Connections.Set(1)
	s.Gateways.Set(1)
	s.Delivered.Add(7)
	s.Fail(event.NotConnected, 2, time.Unix(3000, 0))
	got := r.do("GET", prefix+"/stats", "")
	const want = `{"gatewayConnections":{"totalActive":1,"connections":[` +
		`{"gatewayId":"g1","connectionId":"01000000-0000-0000-0000-000000000000","connectedAt":"1970-01-01T00:25:00.000000000Z","lastHeartbeat":"1970-01-01T00:31:40.000000000Z","status":"connected","remoteAddr":"192.0.2.1:4000","eventsSent":0,"queuedBytes":0,"cursor":"10-7","node":"n1","shard":0}]},` +
		`"eventDelivery":{"totalEventsSent":7,"failedDeliveries":2,"lastFailureTime":"1970-01-01T00:50:00.000000000Z","lastFailureReason":"gateway not connected"},` +
		`"node":{"id":"n1","version":"1.2.3","startedAt":"1970-01-01T00:16:40.000000000Z","shards":[` +
		`{"connections":1,"gateways":1,"queued":0,"delivered":7},{"connections":0,"gateways":0,"queued":0,"delivered":0}]}}`
	if got.status != 200 || got.body != want || got.header.Get("Content-Type") != typeJSON {
		t.Errorf("%d %s\nwant %s", got.status, got.body, want)
	}
}

func TestStatsPages(t *testing.T) {
	tests := []struct {
		name, query string
		have        int
		first, n    int
		cursor      string
	}{
		{"none", "", 0, 0, 0, ""},
		{"all of them", "", 1234, 0, 1234, ""},
		{"all of whole pages", "", 1000, 0, 1000, ""},
		{"a limit", "?limit=10", 1234, 0, 10, "at-10"},
		{"a limit of several pages", "?limit=1000", 1234, 0, 1000, "at-1000"},
		{"a limit and a cursor", "?limit=700&cursor=at-10", 1234, 10, 700, "at-710"},
		{"the last page", "?limit=1000&cursor=at-1000", 1234, 1000, 234, ""},
		{"a limit of just all", "?limit=3", 3, 0, 3, ""},
		{"a cursor alone", "?cursor=at-3", 5, 3, 2, ""},
		{"of a gateway", "?gatewayId=g2", 5, 0, 5, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			r.conns.n = tt.have
			var got statsReply
			body := r.do("GET", prefix+"/stats"+tt.query, "").body
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			list := got.GatewayConnections
			if len(list.Connections) != tt.n || list.Cursor != tt.cursor {
				t.Fatalf("%d connections and the cursor %q, want %d and %q", len(list.Connections), list.Cursor, tt.n, tt.cursor)
			}
			for i, c := range list.Connections {
				if c.ConnectionID != fakeConnectionID(tt.first+i).String() || c.Node != "n1" {
					t.Fatalf("number %d is %+v", i, c)
				}
				if strings.Contains(tt.query, "g2") && c.GatewayID != "g2" {
					t.Errorf("a connection of %s", c.GatewayID)
				}
			}
			if r.conns.most > statsPage {
				t.Errorf("%d were asked for at once", r.conns.most)
			}
		})
	}
}

func TestStatsErrors(t *testing.T) {
	tests := []struct {
		name, query string
		fail        error
		status      int
		want        string
	}{
		{"limit 0", "?limit=0", nil, 400, `"field":"limit"`},
		{"limit -1", "?limit=-1", nil, 400, `"field":"limit"`},
		{"limit of words", "?limit=all", nil, 400, `"field":"limit"`},
		{"not an id", "?gatewayId=a%20b", nil, 400, `"field":"gatewayId"`},
		{"an empty id", "?gatewayId=", nil, 400, `"field":"gatewayId"`},
		{"a foreign cursor", "?cursor=x", nil, 400, `"field":"cursor"`},
		{"a shard that does not answer", "", errors.New("shard 1 does not answer"), 503, "shard 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			r.conns.fail = tt.fail
			if got := r.do("GET", prefix+"/stats"+tt.query, ""); got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
}

// A list that cannot be completed must not look complete.
func TestStatsErrorCutsConnection(t *testing.T) {
	r := start(t)
	r.conns.n, r.conns.failAt = 5000, 2000
	resp, err := r.client.Do(r.request("GET", prefix+"/stats", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the answer looks complete after %d bytes", len(b))
	}
	if !strings.Contains(r.logs.String(), "a shard is gone") {
		t.Error("it is not logged")
	}
}

func TestStatsOf100000ConnectionsAreStreamed(t *testing.T) {
	r := start(t)
	r.conns.n = 100_000
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	resp, err := r.client.Do(r.request("GET", prefix+"/stats", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()

	count := &objectCounter{}
	buf := make([]byte, 64<<10)
	var most uint64
	for reads := 0; err == nil; reads++ {
		var n int
		n, err = resp.Body.Read(buf)
		count.add(buf[:n])
		if reads%100 == 50 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	if count.objects != 100_000 || count.bytes < 20<<20 {
		t.Errorf("%d connections in %d bytes", count.objects, count.bytes)
	}
	if most == 0 || most > before.HeapAlloc+10<<20 {
		t.Errorf("the heap grew from %d to %d for an answer of %d", before.HeapAlloc, most, count.bytes)
	}
}

// An objectCounter counts connections in JSON that it does not keep.
type objectCounter struct {
	objects, bytes int
	tail           string
}

func (c *objectCounter) add(p []byte) {
	const mark = `"connectionId"`
	text := c.tail + string(p)
	c.objects += strings.Count(text, mark)
	c.tail = text[max(0, len(text)-len(mark)+1):]
	c.bytes += len(p)
}

// A slowly list takes some time for each page.
type slowly struct {
	*fakeConnections
	after time.Duration
}

func (c slowly) Page(ctx context.Context, gatewayID, after string, limit int) ([]stats.Connection, string, error) {
	<-time.After(c.after)
	return c.fakeConnections.Page(ctx, gatewayID, after, limit)
}

func TestStatsCanExceedWriteTimeout(t *testing.T) {
	const write = 100 * time.Millisecond
	conns := &fakeConnections{n: 3000}
	r := start(t, func(c *Config, l *limits) {
		l.write = write
		c.Connections = slowly{conns, write / 2}
	})
	if got := r.do("GET", prefix+"/stats", ""); strings.Count(got.body, "connectionId") != conns.n {
		t.Errorf("%d connections", strings.Count(got.body, "connectionId"))
	}
}

// A client that does not read is cut off and delays nobody.
func TestStatsClientDoesNotRead(t *testing.T) {
	r := start(t, func(_ *Config, l *limits) { l.write = 50 * time.Millisecond })
	r.conns.n = 100_000
	req := r.request("GET", prefix+"/stats", nil)
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	until(t, "the connection is closed", func() bool { return r.openConns() == 0 })
	if resp.StatusCode != http.StatusOK {
		t.Error(fmt.Sprint(resp.Status))
	}
}
