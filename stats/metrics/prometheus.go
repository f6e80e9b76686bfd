// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"
)

// A gaugeMetric is the sum of one gauge over all shards.
type gaugeMetric struct {
	desc *prometheus.Desc
	load func(*stats.Shard) int64
}

// gaugeMetrics are the gauges of the shards.
var gaugeMetrics = []gaugeMetric{
	{desc("connections", "Open connections."), func(s *stats.Shard) int64 { return s.Connections.Load() }},
	{desc("gateways_connected", "Gateways with at least one connection."), func(s *stats.Shard) int64 { return s.Gateways.Load() }},
	{desc("replay_window_bytes", "Memory of the newest events, kept for gateways that resume, in bytes."), func(s *stats.Shard) int64 { return s.WindowBytes.Load() }},
	{desc("replay_window_events", "Events in that memory, counted per shard and per gateway that they name."), func(s *stats.Shard) int64 { return s.WindowEvents.Load() }},
	{desc("replays_waiting", "Resuming connections that wait for a scan of the log."), func(s *stats.Shard) int64 { return s.ReplaysWaiting.Load() }},
	{desc("send_queue_bytes", "Unsent bytes in the send queues of all connections."), func(s *stats.Shard) int64 { return s.QueuedBytes.Load() }},
}

// A counterMetric is the sum of one count over all shards.
type counterMetric struct {
	desc *prometheus.Desc
	load func(*stats.Shard) uint64
}

// counterMetrics are the counters of the shards. The first two repeat a reason of
// gatecast_disconnects_total under a name of their own.
var counterMetrics = []counterMetric{
	{desc("slow_consumers_total", "Connections closed because they took events too slowly."), func(s *stats.Shard) uint64 { return s.Disconnects.Load(int(event.SlowConsumer)) }},
	{desc("heartbeat_timeouts_total", "Connections closed because their peer was silent for too long."), func(s *stats.Shard) uint64 { return s.Disconnects.Load(int(event.HeartbeatTimeout)) }},
	{desc("replayed_events_total", "Missed events queued for connections that resumed."), func(s *stats.Shard) uint64 { return s.Replayed.Load() }},
	{desc("resyncs_total", "Sent resync.required messages: events were missed and cannot be sent."), func(s *stats.Shard) uint64 { return s.Resyncs.Load() }},
	{desc("pings_total", "Sent WebSocket pings."), func(s *stats.Shard) uint64 { return s.Pings.Load() }},
}

// A vecMetric is the sum of one Vec over all shards, label by label.
type vecMetric struct {
	desc *prometheus.Desc
	each func(s *stats.Shard, f func(label string, n uint64))
}

// vecMetrics are the labelled counters of the shards.
var vecMetrics = []vecMetric{
	{desc("disconnects_total", "Ended connections, by reason.", "reason"), func(s *stats.Shard, f func(string, uint64)) { s.Disconnects.Each(f) }},
	{desc("messages_received_total", "Messages received from gateways, by type.", "type"), func(s *stats.Shard, f func(string, uint64)) { s.Received.Each(f) }},
}

var deliveriesDesc = desc("deliveries_total", "Deliveries of events, by result: delivered, or why they failed.", "result")

var latencyDesc = desc("delivery_latency_seconds", "Seconds from publish until a socket took the event's last byte.")

// desc returns the description of a metric in the namespace gatecast.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gatecast_"+name, help, labels, nil)
}

// A Collector exports the counters of the shards: sums over all shards, read at each
// scrape. No label names a gateway or a shard, so the number of series does not grow
// with the load. Any goroutine can use it.
type Collector struct {
	shards []*stats.Shard
	other  *stats.Failures
}

// NewCollector returns the collector of the given shards, and of the failed deliveries
// that belong to none.
func NewCollector(shards []*stats.Shard, other *stats.Failures) *Collector {
	return &Collector{shards: shards, other: other}
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range gaugeMetrics {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(stats.Sum(c.shards, m.load)))
	}
	for _, m := range counterMetrics {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(stats.Sum(c.shards, m.load)))
	}
	for _, m := range vecMetrics {
		for label, n := range c.sumVec(m) {
			ch <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(n), label)
		}
	}
	for label, n := range c.deliveries() {
		ch <- prometheus.MustNewConstMetric(deliveriesDesc, prometheus.CounterValue, float64(n), label)
	}
	buckets, count, seconds := c.latency()
	ch <- prometheus.MustNewConstHistogram(latencyDesc, count, seconds, buckets)
}

// sumVec returns the sums of a Vec by label.
func (c *Collector) sumVec(m vecMetric) map[string]uint64 {
	total := make(map[string]uint64)
	for _, s := range c.shards {
		m.each(s, func(label string, n uint64) { total[label] += n })
	}
	return total
}

// deliveries returns the deliveries by result: delivered, or the reason of the
// failure.
func (c *Collector) deliveries() map[string]uint64 {
	total := make(map[string]uint64)
	add := func(label string, n uint64) { total[label] += n }
	for _, s := range c.shards {
		add("delivered", s.Delivered.Load())
		s.Failed.Each(add)
	}
	c.other.Each(add)
	return total
}

// latency returns the sum of the shards' histograms: cumulative counts by upper
// bound, the number of deliveries and their sum, in seconds.
func (c *Collector) latency() (buckets map[float64]uint64, count uint64, seconds float64) {
	buckets = make(map[float64]uint64)
	for _, s := range c.shards {
		b, n, sec := s.Latency.Snapshot()
		for bound, k := range b {
			buckets[bound] += k
		}
		count += n
		seconds += sec
	}
	return buckets, count, seconds
}

// NewRegistry returns a registry with all metrics of a node: of the shards, of the
// node, of the Go runtime and of the process.
func NewRegistry(n *Node, shards []*stats.Shard) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(NewCollector(shards, &n.Failures))
	r.MustRegister(n.collectors()...)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler returns the handler that answers scrapes of r. It is here so that no other
// package imports Prometheus.
func Handler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
