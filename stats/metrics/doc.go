// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package metrics exports a node's counters to Prometheus: the shards' counters, summed
// at each scrape, and the node's own. It is the only package that imports Prometheus.
package metrics
