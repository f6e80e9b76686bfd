// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package eventlog is the log every event goes through. A [Log] is a NATS
// JetStream server inside the process, which listens on no port: [Log.Append]
// puts an event into one stream, which gives it its place, and [Log.Tail] reads
// the stream in order from any place on and then live. A [Bucket] keeps values
// by key beside the events. No other package imports NATS.
//
// What is appended while a tail runs, it is handed from memory as soon as the
// stream has confirmed it. It reads the stream for what was appended before, for
// what is missing in between, and when it has fallen far behind.
//
// Rules:
//
//   - An append that returned a cursor is in the log, and a killed process does
//     not lose it. A power cut may take the last few seconds, unless
//     Config.SyncAlways is set. Their sequences are then given to other events, in
//     another epoch.
//   - A name, [event.Cursor], is one event's for ever. [Lineage] says which names the
//     log's present history has; the history of a shared log may go back while a
//     node runs, which [Follower] is told.
//   - An append that failed with a timeout, a lost connection or an ended context
//     may still be in the log. One that the log refused is not.
//   - Retention takes events away at the front of the stream only. A hole that a
//     tail finds between two events is therefore retention's doing, unless the
//     store lost data, which the server logs.
//
// What stands in the stream gatecast_events is meant to be read with NATS' own
// tools: the data is the event's JSON as it was published, without its id. The
// subject says whom it is for:
//
//	gatecast.event.gateway.ID    one gateway
//	gatecast.event.group.GROUP   a group
//	gatecast.event.all           every gateway
//	gatecast.event.gateways      those in the header Gatecast-Gateways
//	gatecast.event.epoch         no event: a marker, which begins an epoch
//
// An event's key stands in the header Gatecast-Key. An event for one gateway
// without a key has no header.
package eventlog
