// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package delivery records the delivery status of events: what gateways received, what
// they acknowledged, what they sent, and which deliveries failed.
//
// The [Recorder] gets reports from the shards' loops and from the API. It applies them
// to a [tracker.Tracker] in memory and writes them to three journals beside the events:
//
//   - outcomes: delivery updates. Every node follows it, so the trackers of all nodes
//     agree. Connection starts are written at once, progress once a second.
//   - messages: what gateways sent, for the platform to read. Each gateway fills at most
//     its share of it.
//   - failures: failed deliveries of the last 24 hours.
//
// Three kinds of goroutine use a Recorder. Any goroutine reports: that never blocks.
// One goroutine, run, processes the reports, writes to the journals and waits for
// the log. One goroutine, follow, reads the journal outcomes into the tracker.
//
// The names of the journals and the JSON in them are fixed: stored data and nodes
// of the version before depend on them.
package delivery
