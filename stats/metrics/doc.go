// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package metrics exports a node's counters to Prometheus: the shards' counters, summed
// when a scrape asks for them, and the counters of everything else. It is the only package
// that imports Prometheus.
package metrics
