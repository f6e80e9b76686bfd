// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package shard delivers events to connections.
//
// A [Router] hashes a gateway's id to one of a fixed number of shards. A shard
// is one loop that owns its gateways and their connections, so nothing in it
// needs a lock: other goroutines post commands to its inbox. Events of one
// gateway pass through one shard in the order they are dispatched, and so reach
// each of its connections in that order.
//
// One turn of a shard takes what its inbox holds, appends to send queues, and
// then writes each connection it touched once, with everything queued for it.
// Work a turn is bounded; what is left goes on in the next, behind the sockets
// that became ready meanwhile.
//
// Nothing waits for a slow peer. A send queue that is over its bound in bytes,
// or does not move for ten seconds, ends its connection as a slow consumer and
// concerns no other.
//
// The business of a shard speaks to its peers through a [Transport] and knows
// nothing of WebSocket, which is in one file.
package shard
