// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package activity tells the loops that a gateway is at work though its connection
// is silent: many gateways read nothing while they handle an event, and handling
// one takes requests to the platform, which come through this node.
package activity

import (
	"sync/atomic"
	"time"
)

// stuckAfter is how long a request whose bytes do not move is still a sign of
// life.
const stuckAfter = time.Minute

// epoch is what times are counted from, by the monotonic clock.
var epoch = time.Now()

// Requests are the requests of one gateway that are in progress on this node. The
// methods may be called by any goroutine and take no lock. The zero value has none.
type Requests struct {
	running atomic.Int32
	// until is up to when the gateway is known to be alive, in nanoseconds since
	// epoch; 0: never. While a request is in progress it lies ahead.
	until atomic.Int64
}

// ahead returns up to when a gateway is alive whose bytes move now.
func ahead(now time.Time) int64 { return int64(now.Sub(epoch) + stuckAfter) }

// Begin notes that a request is in progress. End is called once for each.
func (r *Requests) Begin(now time.Time) {
	r.running.Add(1)
	r.until.Store(ahead(now))
}

// BytesMoved notes that bytes of a request in progress have moved. It is called for each
// read and write, so it notes a movement at most once a second.
func (r *Requests) BytesMoved(now time.Time) {
	const rarely = int64(time.Second)
	old, next := r.until.Load(), ahead(now)
	if next-old >= rarely && r.running.Load() > 0 {
		r.until.CompareAndSwap(old, next) // else another call has noted something
	}
}

// End notes that a request has ended. After the last one the gateway was alive up
// to now, if its bytes moved.
func (r *Requests) End(now time.Time) {
	if r.running.Add(-1) > 0 {
		return
	}
	r.until.Store(min(r.until.Load(), int64(now.Sub(epoch))))
	if r.running.Load() > 0 { // another one has begun meanwhile, whose note is lost
		r.until.Store(ahead(now))
	}
}

// LastActive returns when the gateway last gave a sign of life by a request: now,
// while one is in progress whose bytes have moved in the last minute; the zero
// time, if it never did. A nil Requests never does.
func (r *Requests) LastActive(now time.Time) time.Time {
	if r == nil {
		return time.Time{}
	}
	until := r.until.Load()
	if until == 0 {
		return time.Time{}
	}
	return epoch.Add(min(time.Duration(until), now.Sub(epoch)))
}
