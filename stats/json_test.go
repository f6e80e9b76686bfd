// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func exampleConnection() Connection {
	return Connection{
		GatewayID:     "gw-1",
		ConnectionID:  uuid.MustParse("018f4c2e-9d1a-7b3c-8e5f-0a1b2c3d4e5f"),
		ConnectedAt:   time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		LastHeartbeat: time.Date(2026, 1, 2, 5, 4, 25, 0, time.FixedZone("", 7200)),
		Status:        "connected",
		RemoteAddr:    netip.MustParseAddrPort("[2001:db8::1]:4000"),
		EventsSent:    17,
		QueuedBytes:   9,
		Cursor:        event.Cursor{Epoch: 36, Seq: 1042},
		Shard:         3,
	}
}

func TestAppendConnection(t *testing.T) {
	fresh := exampleConnection()
	fresh.Cursor, fresh.LastHeartbeat, fresh.RemoteAddr = event.Cursor{}, time.Time{}, netip.AddrPort{}
	tests := []struct {
		name string
		c    Connection
		want string
	}{
		{"full", exampleConnection(), `{"gatewayId":"gw-1","connectionId":"018f4c2e-9d1a-7b3c-8e5f-0a1b2c3d4e5f",` +
			`"connectedAt":"2026-01-02T03:04:05.000000006Z","lastHeartbeat":"2026-01-02T03:04:25.000000000Z",` +
			`"status":"connected","remoteAddr":"[2001:db8::1]:4000","eventsSent":17,"queuedBytes":9,` +
			`"cursor":"10-1042","node":"n1","shard":3}`},
		{"nothing known", fresh, `{"gatewayId":"gw-1","connectionId":"018f4c2e-9d1a-7b3c-8e5f-0a1b2c3d4e5f",` +
			`"connectedAt":"2026-01-02T03:04:05.000000006Z","lastHeartbeat":null,` +
			`"status":"connected","remoteAddr":"","eventsSent":17,"queuedBytes":9,` +
			`"cursor":null,"node":"n1","shard":3}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(AppendConnection([]byte("-"), &tt.c, "n1")); got != "-"+tt.want {
				t.Errorf("got  %s\nwant -%s", got, tt.want)
			}
		})
	}
}

// twoShards returns the counts of two shards that have done different things.
func twoShards() []*Shard {
	a, b := NewShard(), NewShard()
	a.Connections.Set(3)
	b.Connections.Set(4)
	a.Gateways.Set(2)
	b.Gateways.Set(1)
	b.QueuedBytes.Set(512)
	a.Delivered.Add(10)
	b.Delivered.Add(5)
	a.Pings.Add(7)
	a.Disconnects.Inc(int(event.SlowConsumer))
	b.Disconnects.Inc(int(event.SlowConsumer))
	b.Disconnects.Inc(int(event.HeartbeatTimeout))
	a.Received.Inc(int(event.EventAck))
	b.Received.Add(int(event.UnknownMessage), 2)
	a.Fail(event.NotConnected, 2, time.Unix(100, 0))
	b.Fail(event.FailedLost, 1, time.Unix(200, 0))
	a.Latency.Observe(200 * time.Microsecond)
	b.Latency.Observe(200 * time.Microsecond)
	b.Latency.Observe(time.Minute)
	return []*Shard{a, b}
}

func TestDelivery(t *testing.T) {
	tests := []struct {
		name   string
		shards []*Shard
		other  []time.Time // when gateways were not connected
		want   string
	}{
		{"nothing happened", []*Shard{NewShard(), NewShard()}, nil,
			`{"totalEventsSent":0,"failedDeliveries":0,"lastFailureTime":null,"lastFailureReason":null}`},
		{"the newest failure of all shards", twoShards(), nil,
			`{"totalEventsSent":15,"failedDeliveries":3,"lastFailureTime":"1970-01-01T00:03:20.000000000Z","lastFailureReason":"connection lost"}`},
		{"an older one of no shard", twoShards(), []time.Time{time.Unix(150, 0)},
			`{"totalEventsSent":15,"failedDeliveries":4,"lastFailureTime":"1970-01-01T00:03:20.000000000Z","lastFailureReason":"connection lost"}`},
		{"newer ones of no shard", twoShards(), []time.Time{time.Unix(300, 0), time.Unix(400, 0)},
			`{"totalEventsSent":15,"failedDeliveries":5,"lastFailureTime":"1970-01-01T00:06:40.000000000Z","lastFailureReason":"gateway not connected"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var other Failures
			for _, at := range tt.other {
				other.Fail(event.NotConnected, 1, at)
			}
			if got := string(DeliveryOf(tt.shards, &other).AppendJSON(nil)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestDeliveryAdd(t *testing.T) {
	var (
		none  = Delivery{Sent: 1}
		early = Delivery{2, 3, time.Unix(10, 0).UTC(), "early"}
		late  = Delivery{4, 5, time.Unix(20, 0).UTC(), "late"}
	)
	for _, order := range [][]Delivery{{none, early, late}, {late, early, none}, {early, none, late}} {
		var sum Delivery
		for _, d := range order {
			text, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			var read Delivery // as nodes send it to each other
			if err := json.Unmarshal(text, &read); err != nil || read != d {
				t.Fatalf("%s is read as %+v, %v, want %+v", text, read, err, d)
			}
			sum.Add(read)
		}
		if want := (Delivery{7, 8, late.LastFailureTime, "late"}); sum != want {
			t.Errorf("got %+v, want %+v", sum, want)
		}
	}
}

func TestAppendNode(t *testing.T) {
	const want = `{"id":"n1","version":"1.0","startedAt":"1970-01-01T00:00:01.000000000Z","shards":[` +
		`{"connections":3,"gateways":2,"queued":0,"delivered":10},{"connections":4,"gateways":1,"queued":512,"delivered":5}]}`
	if got := string(AppendNode(nil, "n1", "1.0", time.Unix(1, 0), twoShards())); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := TotalConnections(twoShards()); got != 7 {
		t.Errorf("TotalConnections = %d, want 7", got)
	}
}

func TestAppendUUIDIsItsString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "u"))
		if got := string(appendUUID(nil, u)); got != u.String() {
			t.Fatalf("got %s, want %s", got, u)
		}
	})
}

func TestAppendConnectionDoesNotAllocate(t *testing.T) {
	c, buf := exampleConnection(), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { AppendConnection(buf, &c, "n1") }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkAppendConnection(b *testing.B) {
	c, buf := exampleConnection(), make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		AppendConnection(buf, &c, "n1")
	}
}
