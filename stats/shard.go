// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A Shard is the counters of one shard. The shard's loop owns them; any goroutine can
// load them.
type Shard struct {
	Connections Gauge
	Gateways    Gauge // gateways with at least one connection
	QueuedBytes Gauge // bytes in send queues that no socket has taken

	Delivered   Counter // events written to a socket, one per connection
	Failed      *Vec    // failed deliveries by [event.FailureReason]
	Disconnects *Vec    // by [event.CloseReason]
	Received    *Vec    // messages from gateways, by [event.MessageKind]
	Pings       Counter // pings sent

	Replayed       Counter // missed events queued for connections that resumed
	Resyncs        Counter // resync.required messages
	ReplaysWaiting Gauge   // connections with a position before the window
	WindowBytes    Gauge   // memory of the window
	WindowEvents   Gauge

	// Latency is the time from an event's publication until a socket took its last
	// byte, for each delivery that was not a replay.
	Latency *Histogram

	lastFailure lastFailure
}

// NewShard returns counters that have counted nothing.
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

// Fail counts n failed deliveries with a reason, at a time. Owner only.
func (s *Shard) Fail(reason event.FailureReason, n int, at time.Time) {
	s.Failed.Add(int(reason), uint64(n))
	s.lastFailure.store(at, reason)
}

// LastFailure returns when and why a delivery last failed; ok is false if none did.
func (s *Shard) LastFailure() (at time.Time, reason event.FailureReason, ok bool) {
	return s.lastFailure.load()
}

// Sum returns the sum of one counter over all shards.
func Sum[N int64 | uint64](shards []*Shard, load func(*Shard) N) (total N) {
	for _, s := range shards {
		total += load(s)
	}
	return total
}
