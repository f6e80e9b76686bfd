// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package stats has the counters of the shards, each with one writer, and the JSON of
// the stats routes. Package stats/metrics exports the counters to Prometheus.
package stats
