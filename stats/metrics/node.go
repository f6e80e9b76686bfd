// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatecast/gatecast/stats"
)

// A Node is the metrics of a node that belong to no shard. They have many writers, so
// they are Prometheus' own types. Any goroutine can use it.
type Node struct {
	// Connections of gateways.
	ConnectsTotal      *prometheus.CounterVec // by result: accepted, or the reason of the refusal
	AcceptErrors       *prometheus.CounterVec // accept(2) errors that are retried, by listener and error
	HandshakeSeconds   prometheus.Histogram   // from accept to the end of the upgrade
	HandshakesInFlight prometheus.Gauge       // between accept and the end of the first request
	Verifications      *prometheus.CounterVec // tokens verified by the platform or by signature, by result
	VerifySeconds      prometheus.Histogram   // until the platform has answered
	KeyLoads           *prometheus.CounterVec // loads of the keys of signed tokens, by result
	Keys               prometheus.Gauge       // keys of signed tokens in use

	// Events, and what is stored about them.
	LogAppendSeconds  prometheus.Histogram   // until the event log has confirmed an event
	RejectedPublishes *prometheus.CounterVec // refused events, by error code of the answer
	EventsCompressed  prometheus.Counter     // once for all receivers
	CompressionSaved  prometheus.Counter     // bytes, counted once per event
	RecordsDropped    prometheus.Counter     // messages, failed deliveries and reports that were not stored
	AcksIgnored       *prometheus.CounterVec // acks that count for no event, by reason
	MessagesEvicted   prometheus.Counter     // of gateways over their share of the journal
	ForeignMessages   *prometheus.CounterVec // of other programs in gatecast's NATS subjects, by source
	// Failures are the failed deliveries that belong to no shard.
	Failures stats.Failures

	// The process.
	LogLinesDropped     prometheus.Counter     // of the program's own log
	SpansDropped        prometheus.Counter     // of tracing
	Panics              *prometheus.CounterVec // recovered panics of handlers, by listener
	CertificateNotAfter *prometheus.GaugeVec   // expiry in Unix seconds, by listener
	buildInfo           *prometheus.GaugeVec

	published *prometheus.CounterVec
	mu        sync.RWMutex
	byType    map[string]prometheus.Counter // of published; at most maxEventTypes
}

// maxEventTypes limits the series of gatecast_events_published_total: publishers choose
// the types.
const maxEventTypes = 200

// otherType is the label of every type after the first maxEventTypes.
const otherType = "other"

// NewNode returns metrics that have counted nothing. version is the program's.
func NewNode(version string) *Node {
	n := &Node{
		ConnectsTotal: counters("connects_total",
			"Connection attempts of gateways, by result.", "result"),
		AcceptErrors: counters("accept_errors_total",
			"Accept errors that were retried, by listener and error; EMFILE: out of descriptors.", "listener", "error"),
		HandshakeSeconds: histogram("handshake_seconds",
			"Seconds from accepting a connection to the end of its upgrade.",
			.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10),
		HandshakesInFlight: prometheus.NewGauge(prometheus.GaugeOpts(opts("handshakes_in_flight",
			"Connections between accept and the end of their first request."))),
		LogAppendSeconds: histogram("log_append_seconds",
			"Seconds until the event log confirmed an event.",
			.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .1, .5, 1, 5),
		Verifications: counters("verifications_total",
			"Token verifications by the platform or by signature, by result; remembered: answered from the cache.", "result"),
		KeyLoads: counters("jwt_key_loads_total",
			"Loads of the keys of signed tokens, by result.", "result"),
		Keys: prometheus.NewGauge(prometheus.GaugeOpts(opts("jwt_keys",
			"Keys of signed tokens in use; 0: none has been loaded."))),
		VerifySeconds: histogram("verification_seconds",
			"Seconds until the platform answered a token verification.",
			.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5),
		RejectedPublishes: counters("rejected_publishes_total",
			"Events refused at publish, by error code of the answer.", "error"),
		LogLinesDropped: counter("log_lines_dropped_total",
			"Lines of the program's own log that were dropped under overload."),
		CertificateNotAfter: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("certificate_not_after_seconds",
			"Expiry of a listener's certificate, in seconds since 1970.")), []string{"listener"}),
		Panics: counters("panics_total",
			"Recovered panics of one connection's or request's handler. Each is a bug.", "listener"),
		RecordsDropped: counter("records_dropped_total",
			"Messages, failed deliveries and delivery reports lost because the log was unavailable."),
		ForeignMessages: counters("foreign_messages_total",
			"Skipped messages of other programs in gatecast's NATS subjects, by source.", "source"),
		EventsCompressed: counter("events_compressed_total",
			"Events that were compressed, once for all receivers."),
		CompressionSaved: counter("compression_saved_bytes_total",
			"Bytes saved by compression, counted once per event."),
		AcksIgnored: counters("acks_ignored_total",
			"Acks of gateways that count for no event, by reason.", "reason"),
		MessagesEvicted: counter("messages_evicted_total",
			"Journal messages removed because their gateway exceeded its share of the journal."),
		SpansDropped: counter("trace_spans_dropped_total",
			"Trace spans not exported because the collector was slow or unreachable."),
		buildInfo: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("build_info",
			"Always 1; the labels are the versions of gatecast and Go.")), []string{"version", "goversion"}),
		published: counters("events_published_total",
			"Events confirmed by the event log, by type; after 200 types: other.", "type"),
		byType: make(map[string]prometheus.Counter),
	}
	n.buildInfo.WithLabelValues(version, runtime.Version()).Set(1)
	n.initializeLabels()
	return n
}

// Published counts an event that the event log has confirmed.
func (n *Node) Published(eventType string) {
	n.mu.RLock()
	c := n.byType[eventType]
	n.mu.RUnlock()
	if c == nil {
		c = n.addType(eventType)
	}
	c.Inc()
}

// addType returns the counter of a new type, or of otherType when there are too
// many.
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

// collectors returns every metric of the node for registration.
func (n *Node) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		n.ConnectsTotal, n.AcceptErrors, n.HandshakeSeconds, n.HandshakesInFlight, n.LogAppendSeconds, n.Verifications, n.VerifySeconds, n.KeyLoads, n.Keys,
		n.RejectedPublishes, n.LogLinesDropped, n.RecordsDropped, n.AcksIgnored, n.MessagesEvicted, n.SpansDropped, n.CertificateNotAfter, n.Panics, n.buildInfo, n.published,
		n.EventsCompressed, n.CompressionSaved, n.ForeignMessages,
	}
}

// counter returns a counter without labels.
func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(opts(name, help))
}

// counters returns a counter with labels.
func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(opts(name, help), labels)
}

// opts returns the options of a metric in the namespace gatecast.
func opts(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: "gatecast", Name: name, Help: help}
}

// histogram returns a histogram with the given upper bounds, in seconds.
func histogram(name, help string, buckets ...float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "gatecast", Name: name, Help: help, Buckets: buckets,
	})
}
