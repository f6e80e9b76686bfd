// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A Shard holds the counts of one shard. The shard's loop writes them; anyone
// may load them.
type Shard struct {
	Connections Gauge
	Gateways    Gauge // gateways with a connection
	QueuedBytes Gauge // in send queues, not yet taken by a socket

	Delivered   Counter // events written to a socket, once for each connection
	Failed      *Vec    // by [event.FailureReason]
	Disconnects *Vec    // by [event.CloseReason]
	Received    *Vec    // messages from gateways, by [event.MessageKind]
	Pings       Counter // pings sent

	Replayed       Counter // events queued for connections that resumed
	Resyncs        Counter // connections told that they have missed events for good
	ReplaysWaiting Gauge   // connections whose place is before what the window holds
	WindowBytes    Gauge   // held of the newest events
	WindowEvents   Gauge

	// Latency is from an event's publication to its last byte taken by the
	// socket, for each delivery.
	Latency *Histogram

	lastFailure lastFailure
}

// NewShard returns the counts of a shard that has done nothing yet.
func NewShard() *Shard {
	return &Shard{
		Failed:      NewVec(event.FailureReasonNames()...),
		Disconnects: NewVec(event.CloseReasonNames()...),
		Received:    NewVec(event.MessageKindNames()...),
		Latency: NewHistogram(
			100*time.Microsecond, 250*time.Microsecond, 500*time.Microsecond,
			time.Millisecond, 2500*time.Microsecond, 5*time.Millisecond,
			10*time.Millisecond, 25*time.Millisecond, 50*time.Millisecond,
			100*time.Millisecond, 250*time.Millisecond, time.Second, 10*time.Second),
	}
}

// Fail counts n failed deliveries for one reason. Owner only.
func (s *Shard) Fail(reason event.FailureReason, n int, at time.Time) {
	s.Failed.Add(int(reason), uint64(n))
	s.lastFailure.store(at, reason)
}

// LastFailure returns when and why a delivery failed last; ok is false when none
// did.
func (s *Shard) LastFailure() (at time.Time, reason event.FailureReason, ok bool) {
	return s.lastFailure.load()
}

// Sum returns the sum of one counter of all shards.
func Sum[N int64 | uint64](shards []*Shard, load func(*Shard) N) (total N) {
	for _, s := range shards {
		total += load(s)
	}
	return total
}
