// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxMeters limits the meters of one kind that an [AttemptLimiter] keeps, and with them
// its memory: about 30 MB.
const maxMeters = 100_000

// A meter counts attempts. Its level goes down at the rate of its [meters]. (This is the
// leaky bucket as a meter: unlike in golang.org/x/time/rate, a burst that grows is there at
// once.)
type meter struct {
	level float64   // attempts, at the time of the last one
	at    time.Time // up to which the level went down
	// opening is the number of accepted attempts whose connections Grant.Live does not count
	// yet. Any goroutine decrements it.
	opening atomic.Int32
}

// A meters has the meters of many keys. An empty meter is forgotten. With maxMeters of
// them, a new one replaces the one without an attempt for the longest time. Its user
// synchronizes the calls.
type meters[K comparable] struct {
	perSecond float64
	lru       *simplelru.LRU[K, *meter] // in the order of the last attempts
}

func newMeters[K comparable](perMinute float64) *meters[K] {
	lru, err := simplelru.NewLRU[K, *meter](maxMeters, nil)
	if err != nil {
		panic("BUG: maxMeters is not a size: " + err.Error())
	}
	return &meters[K]{perSecond: perMinute / time.Minute.Seconds(), lru: lru}
}

// get returns the meter of a key, at its level of now.
func (s *meters[K]) get(key K, now time.Time) *meter {
	m, known := s.lru.Get(key)
	if !known {
		s.forgetEmpty(now)
		m = &meter{at: now}
		s.lru.Add(key, m) // evicts the oldest when there is no room
	}
	s.leak(m, now)
	return m
}

// leak takes a meter to its level of now.
func (s *meters[K]) leak(m *meter, now time.Time) {
	if d := now.Sub(m.at); d > 0 { // not so when another goroutine has read the clock later
		m.level, m.at = max(0, m.level-d.Seconds()*s.perSecond), now
	}
}

// rounding is the error of a level, which is a float64.
const rounding = 1e-6

// room reports whether a meter has room for one attempt more. If not, retryAfter is the time
// until it has.
func (s *meters[K]) room(m *meter, burst float64, now time.Time) (retryAfter time.Duration, ok bool) {
	s.leak(m, now)
	excess := m.level + 1 - burst
	if excess <= rounding {
		return 0, true
	}
	return time.Duration(math.Ceil(excess / s.perSecond * float64(time.Second))), false
}

// forgetEmpty forgets up to two empty meters. It is called for each new one, so their
// number goes down while it can.
func (s *meters[K]) forgetEmpty(now time.Time) {
	for range 2 {
		_, oldest, ok := s.lru.GetOldest()
		if !ok {
			return
		}
		if s.leak(oldest, now); oldest.level > rounding {
			return
		}
		s.lru.RemoveOldest()
	}
}
