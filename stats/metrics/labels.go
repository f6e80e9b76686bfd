// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// The values of labels whose set is fixed. Each of their series exists from the start,
// at 0: a rate over a series that appears with its first event misses that event.
var (
	// listeners of a node.
	listeners = []string{"gateways", "internal"}

	// connectResults of an attempt to connect: accepted, why the front ended it, or the
	// error of a refusal.
	connectResults = []string{
		"accepted", "http", // http: handed to the platform, or answered here
		"bad_proxy_header", "tls_failed", "incomplete", "overtaken", "internal_error",
		"bad_request", "method_not_allowed", "upgrade_required", "unauthorized", "forbidden",
		"rate_limited", "capacity_exceeded", "draining", "unavailable",
	}

	// acceptErrors are errors of accept(2) after which a listener tries again.
	acceptErrors = []string{"ECONNABORTED", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPROTO", "EPERM"}

	// verificationResults of tokens that the platform verifies.
	verificationResults = []string{"granted", "refused", "failed", "remembered"}

	// publishErrors are the codes of answers to publishes.
	publishErrors = []string{
		"bad_request", "forbidden", "not_found", "request_timeout", "conflict", "payload_too_large", "unsupported_media_type",
		"invalid_event", "internal_error", "unavailable", "draining",
	}

	// foreignSources are where messages are found that are not gatecast's.
	foreignSources = []string{"events", "journal", "registry", "bus"}
)

// Why an ack counts as no answer.
const (
	AckNotForGateway = "not_for_gateway"
	AckUnknownEvent  = "unknown_event"
	AckUnknownStatus = "unknown_status"
)

// initialize makes the series of a counter with one label.
func initialize(c *prometheus.CounterVec, values []string) {
	for _, v := range values {
		c.WithLabelValues(v)
	}
}

// initializeLabels makes the series of every counter whose labels are fixed.
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
