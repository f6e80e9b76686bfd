// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package natsstore stores the streams of the event log, its journals and the registry in NATS
// JetStream. A [Store] implements [storage.Store], and opens a [Bucket] for the registry.
//
// The servers are one of two backends: a NATS server inside the process, which listens on no
// port and keeps its files in one folder (embedded.go), or a cluster that other programs run
// and several nodes share (cluster.go). Package natsstore/check checks the folder before the
// embedded server starts.
//
// Rules:
//
//   - One connection serves everything. It reconnects for ever. Nothing is buffered while it
//     is down: a write fails at once, and no write happens later without its caller.
//   - Readers end when the connection is lost, and start again on the next one (link.go). A
//     JetStream consumer would notice only by missing heartbeats, many seconds later.
//   - An error that the servers will not take back says what to do about it (refusal.go).
//   - Nothing is written when the disk is nearly full (space.go). JetStream takes no more
//     writes after a failed one, until it is restarted.
package natsstore
