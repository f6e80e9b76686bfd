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

var gaugeMetrics = []gaugeMetric{
	{desc("connections", "Connections that are open."), func(s *stats.Shard) int64 { return s.Connections.Load() }},
	{desc("gateways_connected", "Gateways that have at least one connection."), func(s *stats.Shard) int64 { return s.Gateways.Load() }},
	{desc("replay_window_bytes", "Memory that holds the newest events for gateways that resume, about."), func(s *stats.Shard) int64 { return s.WindowBytes.Load() }},
	{desc("replay_window_events", "Events in it; one for many counts once for each gateway it names and each shard."), func(s *stats.Shard) int64 { return s.WindowEvents.Load() }},
	{desc("replays_waiting", "Connections whose place is older than the newest events held, and that the log is read for."), func(s *stats.Shard) int64 { return s.ReplaysWaiting.Load() }},
	{desc("send_queue_bytes", "Bytes in send queues that no socket has taken yet."), func(s *stats.Shard) int64 { return s.QueuedBytes.Load() }},
}

// A counterMetric is the sum of one count over all shards.
type counterMetric struct {
	desc *prometheus.Desc
	load func(*stats.Shard) uint64
}

var counterMetrics = []counterMetric{
	{desc("slow_consumers_total", "Connections cut off because they took events too slowly."), func(s *stats.Shard) uint64 { return s.Disconnects.Load(int(event.SlowConsumer)) }},
	{desc("heartbeat_timeouts_total", "Connections cut off because nothing was heard from them."), func(s *stats.Shard) uint64 { return s.Disconnects.Load(int(event.HeartbeatTimeout)) }},
	{desc("replayed_events_total", "Events sent to connections that resumed, from before they came back."), func(s *stats.Shard) uint64 { return s.Replayed.Load() }},
	{desc("resyncs_total", "Connections told that they have missed events nobody can send them any more."), func(s *stats.Shard) uint64 { return s.Resyncs.Load() }},
	{desc("pings_total", "Pings sent."), func(s *stats.Shard) uint64 { return s.Pings.Load() }},
}

// A vecMetric is the sum of one Vec over all shards, label by label.
type vecMetric struct {
	desc *prometheus.Desc
	each func(s *stats.Shard, f func(label string, n uint64))
}

var vecMetrics = []vecMetric{
	{desc("disconnects_total", "Connections that ended, by reason.", "reason"), func(s *stats.Shard, f func(string, uint64)) { s.Disconnects.Each(f) }},
	{desc("messages_received_total", "Messages from gateways, by type.", "type"), func(s *stats.Shard, f func(string, uint64)) { s.Received.Each(f) }},
}

var deliveriesDesc = desc("deliveries_total", "Deliveries of events, by what became of them: to connections, and to gateways that had none.", "result")

var latencyDesc = desc("delivery_latency_seconds", "Time from an event's publication until a socket took its last byte.")

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gatecast_"+name, help, labels, nil)
}

// A Collector is the shards' counters as Prometheus sees them: sums over all
// shards, read when a scrape asks. No label names a gateway or a shard, so the
// number of series does not grow with a node's load. It may be shared.
type Collector struct {
	shards []*stats.Shard
	other  *stats.Failures
}

// NewCollector returns the collector of the given shards, and of the failed
// deliveries that belong to none.
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

func (c *Collector) sumVec(m vecMetric) map[string]uint64 {
	total := make(map[string]uint64)
	for _, s := range c.shards {
		m.each(s, func(label string, n uint64) { total[label] += n })
	}
	return total
}

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

// NewRegistry returns a registry of everything a node shows Prometheus: the
// shards' counters, the node's own, and those of Go and of the process.
func NewRegistry(n *Node, shards []*stats.Shard) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(NewCollector(shards, &n.Failures))
	r.MustRegister(n.collectors()...)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler returns the handler that answers a scrape of r. It is here so that
// nothing but this package needs to know Prometheus.
func Handler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
