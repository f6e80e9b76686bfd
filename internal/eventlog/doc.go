// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package eventlog is the log that every event goes through. [Log.Append] stores an event in
// one stream, which gives it a sequence. [Log.Tail] reads the stream in order from any position,
// and then live. A [Journal] is a smaller stream of records beside the events.
//
// The package does not know how streams are stored: it uses a [storage.Store], which package
// natsstore implements with NATS JetStream.
//
// While a tail runs, it gets new events from memory as soon as the stream has acknowledged them
// ([feed]). It reads the stream for events that were appended before, for those that are missing
// in between, and when it is far behind ([replay]).
//
// Rules:
//
//   - An append that returned a position is in the log, and stays there when the process is
//     killed. A power cut can remove the last few seconds, unless every append is synced. Their
//     sequences are then used by other events, in another epoch.
//   - An id, [event.Cursor], belongs to one event for ever. [Lineage] says which ids the
//     present history of the log has. The history of a shared log can go back while a node
//     runs, which [Follower] reports.
//   - An append that failed with a timeout, a lost connection or an ended context can still be
//     in the log. One that the log refused is not.
//   - Retention removes events at the front of the stream only. So a gap that a tail finds
//     between two events comes from retention, unless the store lost data, which the server
//     logs.
//
// People can read the stream gatecast_events with NATS' own tools. The data of a message is the
// event's JSON as it was published, without its id. The subject says who receives it:
//
//	gatecast.event.gateway.ID    one gateway
//	gatecast.event.group.GROUP   a group
//	gatecast.event.all           every gateway
//	gatecast.event.gateways      those in the header Gatecast-Gateways
//	gatecast.event.epoch         no event: a marker, which begins an epoch
//
// The header Gatecast-Key has an event's key. An event for one gateway without a key has no
// header.
package eventlog
