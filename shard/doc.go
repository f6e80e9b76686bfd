// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package shard delivers events to the connections of gateways.
//
// A [Router] hashes a gateway's id to one of a fixed number of shards. A shard is one
// loop that owns its gateways and their connections, so nothing in it needs a lock:
// other goroutines post commands to its inbox. Events of one gateway pass through one
// shard in the order in which they are dispatched, and reach each of its connections in
// that order.
//
// One turn of a shard takes the inbox, appends to send queues, and then writes each
// connection that it touched once, with everything queued for it. The work of a turn is
// limited; the rest follows in the next turn, after ready descriptors are serviced.
//
// Nothing waits for a slow peer. When a send queue exceeds its limit in bytes, or makes
// no progress for ten seconds, its connection is closed as a slow consumer. Other
// connections do not notice.
//
// Catching up: each shard keeps its newest events in memory, the window. A gateway that
// resumes within the window is served from it at once. A connection with an older
// position waits for a scan: one goroutine reads the log once for all of them, and hands
// it to the shards in pages.
//
// The package speaks to peers through a [Transport]. Only websocket.go knows WebSocket.
package shard
