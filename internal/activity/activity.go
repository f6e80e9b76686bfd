// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package activity tracks the HTTP requests of gateways as signs of life. Many gateways
// read nothing from their connection while they handle an event, and to handle one they
// send requests to the platform through this node. It does no I/O.
package activity

import (
	"sync/atomic"
	"time"
)

// stallTimeout is how long a request whose bytes do not move is still a sign of life.
const stallTimeout = time.Minute

// epoch is the origin of times, on the monotonic clock.
var epoch = time.Now()

// A Requests is the requests of one gateway that are in progress on this node. Any
// goroutine can use it; it takes no lock. The zero value has none.
type Requests struct {
	running atomic.Int32
	// until is when the gateway's last sign of life ends to count, in nanoseconds since
	// epoch; 0: there was none. While a request is in progress it is in the future.
	until atomic.Int64
}

// aliveUntil returns until when bytes that move now are a sign of life.
func aliveUntil(now time.Time) int64 { return int64(now.Sub(epoch) + stallTimeout) }

// Begin notes that a request has begun. End is called once for each.
func (r *Requests) Begin(now time.Time) {
	r.running.Add(1)
	r.until.Store(aliveUntil(now))
}

// BytesMoved notes that bytes of a request in progress have moved. It is called for
// each read and write, so it stores the time at most once per second.
func (r *Requests) BytesMoved(now time.Time) {
	const rarely = int64(time.Second)
	old, next := r.until.Load(), aliveUntil(now)
	if next-old >= rarely && r.running.Load() > 0 {
		r.until.CompareAndSwap(old, next) // if it fails, another call has stored something
	}
}

// End notes that a request has ended. After the last one the gateway was alive until
// now, if its bytes were moving.
func (r *Requests) End(now time.Time) {
	if r.running.Add(-1) > 0 {
		return
	}
	r.until.Store(min(r.until.Load(), int64(now.Sub(epoch))))
	if r.running.Load() > 0 { // another request has begun meanwhile, and its note was overwritten
		r.until.Store(aliveUntil(now))
	}
}

// LastActive returns when a request last was a sign of life: now, while one is in
// progress whose bytes have moved within the last minute; the zero time if there was
// none. A nil Requests has none.
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
