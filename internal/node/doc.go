// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package node puts a gatecast node together from a [Config], starts it and drains it.
// It is what the command serves, and what tests and benchmarks start. It is wiring:
// what a part does is in the part's package.
//
// # Parts
//
// They start in this order. Each uses those above it:
//
//   - listen: the data folder, both addresses (internal/listen)
//   - startTracer: the export of traces (internal/tracing)
//   - openLog: the store, the event log in it, this node's name (internal/natsstore,
//     internal/eventlog, internal/presence)
//   - openDelivery: recorder, connection log, shards, registry, dispatcher
//     (internal/delivery, internal/connlog, shard, auth, internal/dispatch)
//   - newServers: files that are reloaded, the internal route, the gateway listener
//     (internal/reload, internal/certs, internal/api, internal/front)
//   - meetPeers: what the other nodes announce (internal/presence)
//   - serve: both listeners accept
//   - joinPeers: this node announces its gateways
//
// They stop in the reverse order, so that whoever calls a part ends before the part.
// Stopping the shards produces the last reports, so recorder and connection log stop
// after them, and the log stops after the recorder, which writes to it.
//
// # Ownership
//
// The fields of [Node] are written by Start alone, before the goroutines that read them
// start. Three kinds of goroutine cross the parts:
//
//   - A shard's loop calls Recorder.Report and notify. Neither blocks: what does not fit
//     is dropped and counted.
//   - The dispatcher's goroutine calls the router, and Recorder.NoteDeployment and Rewind.
//     It waits when a shard's inbox is full.
//   - The recorder's goroutine waits for the log. It calls isTarget, and
//     Router.ReportNow for a gateway that connected to another node.
//
// Goroutines of the servers call everything else. Every part that they call can be
// called by any goroutine, also after it has stopped: then it refuses.
package node
