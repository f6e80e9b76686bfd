// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"
)

// twoShards returns the counts of two shards that have done different things.
func twoShards() []*stats.Shard {
	a, b := stats.NewShard(), stats.NewShard()
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
	return []*stats.Shard{a, b}
}

func TestCollectorSumsOverShards(t *testing.T) {
	const want = `
# HELP gatecast_connections Open connections.
# TYPE gatecast_connections gauge
gatecast_connections 7
# HELP gatecast_gateways_connected Gateways with at least one connection.
# TYPE gatecast_gateways_connected gauge
gatecast_gateways_connected 3
# HELP gatecast_send_queue_bytes Unsent bytes in the send queues of all connections.
# TYPE gatecast_send_queue_bytes gauge
gatecast_send_queue_bytes 512
# HELP gatecast_slow_consumers_total Connections closed because they took events too slowly.
# TYPE gatecast_slow_consumers_total counter
gatecast_slow_consumers_total 2
# HELP gatecast_heartbeat_timeouts_total Connections closed because their peer was silent for too long.
# TYPE gatecast_heartbeat_timeouts_total counter
gatecast_heartbeat_timeouts_total 1
# HELP gatecast_pings_total Sent WebSocket pings.
# TYPE gatecast_pings_total counter
gatecast_pings_total 7
# HELP gatecast_messages_received_total Messages received from gateways, by type.
# TYPE gatecast_messages_received_total counter
gatecast_messages_received_total{type="deployment.ack"} 0
gatecast_messages_received_total{type="event.ack"} 1
gatecast_messages_received_total{type="unknown"} 2
# HELP gatecast_deliveries_total Deliveries of events, by result: delivered, or why they failed.
# TYPE gatecast_deliveries_total counter
gatecast_deliveries_total{result="connection_lost"} 1
gatecast_deliveries_total{result="delivered"} 15
gatecast_deliveries_total{result="not_connected"} 2
gatecast_deliveries_total{result="rejected"} 0
gatecast_deliveries_total{result="slow_consumer"} 0
# HELP gatecast_delivery_latency_seconds Seconds from publish until a socket took the event's last byte.
# TYPE gatecast_delivery_latency_seconds histogram
gatecast_delivery_latency_seconds_bucket{le="0.0001"} 0
gatecast_delivery_latency_seconds_bucket{le="0.00025"} 2
gatecast_delivery_latency_seconds_bucket{le="0.0005"} 2
gatecast_delivery_latency_seconds_bucket{le="0.001"} 2
gatecast_delivery_latency_seconds_bucket{le="0.0025"} 2
gatecast_delivery_latency_seconds_bucket{le="0.005"} 2
gatecast_delivery_latency_seconds_bucket{le="0.01"} 2
gatecast_delivery_latency_seconds_bucket{le="0.025"} 2
gatecast_delivery_latency_seconds_bucket{le="0.05"} 2
gatecast_delivery_latency_seconds_bucket{le="0.1"} 2
gatecast_delivery_latency_seconds_bucket{le="0.25"} 2
gatecast_delivery_latency_seconds_bucket{le="1"} 2
gatecast_delivery_latency_seconds_bucket{le="10"} 2
gatecast_delivery_latency_seconds_bucket{le="+Inf"} 3
gatecast_delivery_latency_seconds_sum 60.0004
gatecast_delivery_latency_seconds_count 3
`
	err := testutil.CollectAndCompare(NewCollector(twoShards(), new(stats.Failures)), strings.NewReader(want),
		"gatecast_connections", "gatecast_gateways_connected", "gatecast_send_queue_bytes",
		"gatecast_slow_consumers_total", "gatecast_heartbeat_timeouts_total", "gatecast_pings_total",
		"gatecast_messages_received_total", "gatecast_deliveries_total", "gatecast_delivery_latency_seconds")
	if err != nil {
		t.Error(err)
	}
}

func TestDisconnectsShowEveryReason(t *testing.T) {
	if n := testutil.CollectAndCount(NewCollector(twoShards(), new(stats.Failures)), "gatecast_disconnects_total"); n != len(event.CloseReasonNames()) {
		t.Errorf("%d reasons are shown, want %d", n, len(event.CloseReasonNames()))
	}
}

// usedRegistry returns a registry in which every metric has a value.
func usedRegistry() *prometheus.Registry {
	n := NewNode("1.2.3")
	n.ConnectsTotal.WithLabelValues("accepted").Inc()
	n.RejectedPublishes.WithLabelValues("not_found").Inc()
	n.Published("api.deployed")
	return NewRegistry(n, twoShards())
}

func TestMetricsFollowPrometheusConventions(t *testing.T) {
	problems, err := testutil.GatherAndLint(usedRegistry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestNoLabelNamesAGatewayOrShard(t *testing.T) {
	allowed := map[string]bool{"result": true, "reason": true, "type": true, "error": true, "version": true, "goversion": true, "listener": true, "source": true}
	families, err := usedRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "gatecast_") {
			continue
		}
		for _, l := range f.GetMetric()[0].GetLabel() {
			if !allowed[l.GetName()] {
				t.Errorf("%s has the label %q", f.GetName(), l.GetName())
			}
		}
	}
}

func TestHandlerServesEveryName(t *testing.T) {
	w := httptest.NewRecorder()
	Handler(usedRegistry()).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"gatecast_connections ", "gatecast_gateways_connected ", "gatecast_disconnects_total{",
		"gatecast_deliveries_total{", "gatecast_delivery_latency_seconds_bucket{", "gatecast_send_queue_bytes ",
		"gatecast_slow_consumers_total ", "gatecast_heartbeat_timeouts_total ", "gatecast_messages_received_total{",
		"gatecast_pings_total ", "gatecast_connects_total{", "gatecast_events_published_total{",
		"gatecast_handshake_seconds_count ", "gatecast_log_append_seconds_count ", "gatecast_build_info{",
		"gatecast_rejected_publishes_total{", "gatecast_log_lines_dropped_total ", "gatecast_handshakes_in_flight ",
		"go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(string(body), "\n"+name) {
			t.Errorf("/metrics has no line beginning with %q", name)
		}
	}
}

// Help texts are read in lists: one short sentence each.
func TestHelpIsShort(t *testing.T) {
	families, err := NewRegistry(NewNode("v1"), []*stats.Shard{stats.NewShard()}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		help := f.GetHelp()
		ours := strings.HasPrefix(f.GetName(), "gatecast_")
		if words := len(strings.Fields(help)); ours && (words == 0 || words > 15 || !strings.HasSuffix(help, ".")) {
			t.Errorf("%s: %d words, want a sentence of at most 15: %s", f.GetName(), words, help)
		}
	}
}
