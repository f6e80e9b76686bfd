// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// The values of labels with a fixed set of values. Each of their series exists from the
// start with value 0: a rate over a series that appears with its first event misses
// that event.
var (
	// listeners are the listeners of a node.
	listeners = []string{"gateways", "internal"}

	// connectResults are accepted, the reason why the front ended the connection, or
	// the error of a refusal.
	connectResults = []string{
		"accepted", "http", // http: passed to the platform, or answered here
		"bad_proxy_header", "tls_failed", "incomplete", "overtaken", "internal_error",
		"bad_request", "method_not_allowed", "upgrade_required", "unauthorized", "forbidden",
		"rate_limited", "capacity_exceeded", "draining", "unavailable", "other_path",
	}

	// acceptErrors are the errors of accept(2) that are retried.
	acceptErrors = []string{"ECONNABORTED", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPROTO", "EPERM"}

	// verificationResults are the results of token verification by the platform.
	verificationResults = []string{"granted", "refused", "failed", "remembered"}

	// publishErrors are the error codes of refused publishes.
	publishErrors = []string{
		"bad_request", "forbidden", "not_found", "request_timeout", "conflict", "payload_too_large", "unsupported_media_type",
		"invalid_event", "internal_error", "unavailable", "draining",
	}

	// foreignSources are where messages of other programs are found.
	foreignSources = []string{"events", "journal", "registry", "bus"}
)

// The reasons why an ack is ignored.
const (
	AckNotForGateway = "not_for_gateway"
	AckUnknownEvent  = "unknown_event"
	AckUnknownStatus = "unknown_status"
)

// initialize creates the series of a counter with one label.
func initialize(c *prometheus.CounterVec, values []string) {
	for _, v := range values {
		c.WithLabelValues(v)
	}
}

// initializeLabels creates the series of every counter with fixed labels.
func (n *Node) initializeLabels() {
	initialize(n.ConnectsTotal, connectResults)
	initialize(n.Verifications, verificationResults)
	initialize(n.RejectedPublishes, publishErrors)
	initialize(n.Panics, listeners)
	initialize(n.AcksIgnored, []string{AckNotForGateway, AckUnknownEvent, AckUnknownStatus})
	initialize(n.ForeignMessages, foreignSources)
	for _, l := range listeners {
		for _, e := range acceptErrors {
			n.AcceptErrors.WithLabelValues(l, e)
		}
	}
}
