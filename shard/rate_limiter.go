// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import "time"

// rateBurst is how far ahead of its rate a peer can send: ten seconds' worth.
const rateBurst = 10 * time.Second

// A rateLimiter limits what one peer sends. Everything that a peer sends takes time at
// the allowed rate; a peer can be ahead of the clock by rateBurst. (This is the virtual
// scheduling form of the generic cell rate algorithm, ITU-T I.371. It takes 16 bytes
// per connection; golang.org/x/time/rate takes 80 and a mutex.) A rate of 0 is no
// limit. It belongs to a connection, and so to its loop.
type rateLimiter struct {
	busyUntil    instant // until when the peer has used up its time
	freeMessages uint64  // messages that were counted as answers to events
}

// allowBytes charges n bytes and reports whether they are within the limit.
func (a *rateLimiter) allowBytes(now instant, perSecond, n int) bool {
	if perSecond == 0 {
		return true
	}
	return a.allow(now, time.Duration(n)*time.Second/time.Duration(perSecond))
}

// allowMessage charges one message of a peer that was sent the given number of events.
// A gateway answers events, after a replay many at once; one message per event is free.
func (a *rateLimiter) allowMessage(now instant, perSecond int, sent uint64) bool {
	if perSecond == 0 {
		return true
	}
	if a.freeMessages < sent {
		a.freeMessages++
		return true
	}
	return a.allow(now, time.Second/time.Duration(perSecond))
}

// allowFrames charges n frames that are not messages. Each costs as much as a message.
func (a *rateLimiter) allowFrames(now instant, perSecond, n int) bool {
	if perSecond == 0 {
		return true
	}
	return a.allow(now, time.Duration(n)*time.Second/time.Duration(perSecond))
}

// allow charges time, and reports whether the peer is at most rateBurst ahead.
func (a *rateLimiter) allow(now instant, cost time.Duration) bool {
	a.busyUntil = max(a.busyUntil, now).add(cost)
	return a.busyUntil <= now.add(rateBurst)
}
