// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatecast/gatecast/stats"
)

// A Node holds the counts that belong to no shard. They have many writers, so
// they are Prometheus' own types, and may be shared.
type Node struct {
	ConnectsTotal      *prometheus.CounterVec // attempts to connect, by result: accepted, or the error of the refusal
	AcceptErrors       *prometheus.CounterVec // accepts that failed and were tried again, by error
	HandshakeSeconds   prometheus.Histogram   // from accept to the end of the upgrade
	HandshakesInFlight prometheus.Gauge
	LogAppendSeconds   prometheus.Histogram   // until the log has answered for an event
	Verifications      *prometheus.CounterVec // tokens the platform was to verify, by result
	VerifySeconds      prometheus.Histogram   // until the platform has answered
	RejectedPublishes  *prometheus.CounterVec // events not taken, by the error code of the answer
	LogLinesDropped    prometheus.Counter     // lines of the program's own log
	// CertificateNotAfter is when a listener's certificate expires, in Unix seconds.
	CertificateNotAfter *prometheus.GaugeVec
	Panics              *prometheus.CounterVec // of handlers, contained, by listener
	RecordsDropped      prometheus.Counter     // what was to be recorded of gateways' answers and failed deliveries
	AcksIgnored         *prometheus.CounterVec // answers of gateways that count for no event, by reason
	MessagesEvicted     prometheus.Counter     // of gateways that filled more than their share of the journal
	SpansDropped        prometheus.Counter     // of tracing
	ForeignMessages     *prometheus.CounterVec // what others wrote where gatecast keeps its own, by where

	EventsCompressed prometheus.Counter
	CompressionSaved prometheus.Counter // bytes, counted once an event

	// Failures are those that belong to no shard.
	Failures stats.Failures

	buildInfo *prometheus.GaugeVec
	published *prometheus.CounterVec

	mu     sync.RWMutex
	byType map[string]prometheus.Counter // of published
}

// maxEventTypes bounds the series of gatecast_events_published_total. Publishers
// choose the types, so nothing else does.
const maxEventTypes = 200

// otherType stands for every type beyond the first maxEventTypes.
const otherType = "other"

// NewNode returns the counts of a node that has done nothing yet. The version is
// the program's.
func NewNode(version string) *Node {
	n := &Node{
		ConnectsTotal: prometheus.NewCounterVec(opts("connects_total",
			"Attempts of gateways to connect, by result."), []string{"result"}),
		AcceptErrors: prometheus.NewCounterVec(opts("accept_errors_total",
			"Accepts that failed and are tried again, by listener and the system's error: EMFILE is that the process is out of descriptors."), []string{"listener", "error"}),
		HandshakeSeconds: histogram("handshake_seconds",
			"Time from accepting a connection to the end of its TLS handshake and upgrade.",
			.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10),
		HandshakesInFlight: prometheus.NewGauge(prometheus.GaugeOpts(opts("handshakes_in_flight",
			"Handshakes that have begun and not ended."))),
		LogAppendSeconds: histogram("log_append_seconds",
			"Time until the log has answered for an event.",
			.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .1, .5, 1, 5),
		Verifications: prometheus.NewCounterVec(opts("verifications_total",
			"Tokens that the platform was to verify, by what it said: granted, refused, failed, or remembered where it was not asked."), []string{"result"}),
		VerifySeconds: histogram("verification_seconds",
			"Time until the platform has answered whether it knows a token.",
			.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5),
		RejectedPublishes: prometheus.NewCounterVec(opts("rejected_publishes_total",
			"Events that were not taken, by the error that answered them."), []string{"error"}),
		LogLinesDropped: prometheus.NewCounter(opts("log_lines_dropped_total",
			"Lines of the program's log that were dropped because there were too many.")),
		CertificateNotAfter: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("certificate_not_after_seconds",
			"When a listener's certificate expires, in seconds since 1970.")), []string{"listener"}),
		Panics: prometheus.NewCounterVec(opts("panics_total",
			"Panics of one connection's or request's handler, which ended nothing else, by where it was: at the listeners gateways and internal, or in cluster, for a message of another node. Each is a bug, and logged with its stack."), []string{"listener"}),
		RecordsDropped: prometheus.NewCounter(opts("records_dropped_total",
			"Messages of gateways, failed deliveries and reports of delivery that were not recorded, because the log could not take them for too long.")),
		ForeignMessages: prometheus.NewCounterVec(opts("foreign_messages_total",
			"Messages in NATS that are not gatecast's, and were skipped, by where they were: in the streams of events and journals, in the registry, or on the bus between nodes."), []string{"source"}),
		EventsCompressed: prometheus.NewCounter(opts("events_compressed_total",
			"Events that were compressed, each once for all its receivers.")),
		CompressionSaved: prometheus.NewCounter(opts("compression_saved_bytes_total",
			"Bytes by which compressed events are shorter, counted once an event and not once a connection.")),
		AcksIgnored: prometheus.NewCounterVec(opts("acks_ignored_total",
			"Acks of gateways that count as no answer: the event was not for the gateway, is not known, or the status is no answer."), []string{"reason"}),
		MessagesEvicted: prometheus.NewCounter(opts("messages_evicted_total",
			"Messages of gateways that were removed before the rest, read or not, because their gateway filled more than its share of the journal of messages.")),
		SpansDropped: prometheus.NewCounter(opts("trace_spans_dropped_total",
			"Spans that were not exported, because the collector was too slow or out of reach.")),
		buildInfo: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("build_info",
			"Always 1; the labels name what runs.")), []string{"version", "goversion"}),
		published: prometheus.NewCounterVec(opts("events_published_total",
			"Events the log has taken, by type; types beyond the first 200 count as other."), []string{"type"}),
		byType: make(map[string]prometheus.Counter),
	}
	n.buildInfo.WithLabelValues(version, runtime.Version()).Set(1)
	n.initializeLabels()
	return n
}

// Published counts an event that the log has taken.
func (n *Node) Published(eventType string) {
	n.mu.RLock()
	c := n.byType[eventType]
	n.mu.RUnlock()
	if c == nil {
		c = n.addType(eventType)
	}
	c.Inc()
}

func (n *Node) addType(eventType string) prometheus.Counter {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.byType) >= maxEventTypes {
		return n.published.WithLabelValues(otherType)
	}
	c := n.published.WithLabelValues(eventType)
	n.byType[eventType] = c
	return c
}

func (n *Node) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		n.ConnectsTotal, n.AcceptErrors, n.HandshakeSeconds, n.HandshakesInFlight, n.LogAppendSeconds, n.Verifications, n.VerifySeconds,
		n.RejectedPublishes, n.LogLinesDropped, n.RecordsDropped, n.AcksIgnored, n.MessagesEvicted, n.SpansDropped, n.CertificateNotAfter, n.Panics, n.buildInfo, n.published,
		n.EventsCompressed, n.CompressionSaved, n.ForeignMessages,
	}
}

func opts(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: "gatecast", Name: name, Help: help}
}

func histogram(name, help string, buckets ...float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "gatecast", Name: name, Help: help, Buckets: buckets,
	})
}
