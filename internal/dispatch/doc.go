// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package dispatch follows the event log and passes every event, in log order, to the
// shards of its target gateways.
//
// One goroutine follows the log. It makes one [shard.Message] per event, compressed if a
// connection takes that, and waits when a shard's inbox is full: what is not dispatched
// is safe in the log. The package also knows how far the shards are in the log, and so
// decides from which position a gateway can resume and whether an event was for
// a gateway.
package dispatch
