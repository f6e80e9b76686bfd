// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/netaddr"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// maxSources limits the sources that an [IPLimiter] keeps, and with them its memory:
// about 30 MB.
const maxSources = 100_000

// An IPLimiter limits how often one source can try to connect. A source is an IPv4
// address, or the /64 of an IPv6 address, because one machine usually has a whole /64.
// Each source has a token bucket with the attempts of one minute, which can be used at
// once.
//
// A source whose bucket is full again is forgotten. With maxSources sources, a new one
// replaces the source without an attempt for the longest time: an attacker with more
// networks than that gets around the limit, but does not shut others out.
//
// Any goroutine can call its methods. A nil IPLimiter allows everything.
type IPLimiter struct {
	// Constant after NewIPLimiter.
	perMinute int
	perSecond rate.Limit

	mu      sync.Mutex
	sources *simplelru.LRU[netip.Addr, *rate.Limiter] // in the order of their last attempts
}

// NewIPLimiter returns a limiter that allows each source perMinute attempts per minute.
// For 0 or less it returns nil, which allows everything.
func NewIPLimiter(perMinute int) *IPLimiter {
	if perMinute <= 0 {
		return nil
	}
	sources, err := simplelru.NewLRU[netip.Addr, *rate.Limiter](maxSources, nil)
	if err != nil {
		panic("BUG: maxSources is not a size: " + err.Error())
	}
	return &IPLimiter{
		perMinute: perMinute,
		perSecond: rate.Limit(float64(perMinute) / time.Minute.Seconds()),
		sources:   sources,
	}
}

// Allow reports whether an attempt from addr is allowed. If not, retryAfter is the time
// until the next one is. A refused attempt uses no token. now is from time.Now, whose
// monotonic clock is never set back.
func (l *IPLimiter) Allow(addr netip.Addr, now time.Time) (retryAfter time.Duration, ok bool) {
	if l == nil {
		return 0, true
	}
	addr = sourceOf(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, known := l.sources.Get(addr)
	if !known {
		l.forgetFull(now)
		bucket = rate.NewLimiter(l.perSecond, l.perMinute)
		l.sources.Add(addr, bucket) // evicts the oldest when there is no room
	}
	if bucket.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - bucket.TokensAt(now)
	return time.Duration(math.Ceil(missing / float64(l.perSecond) * float64(time.Second))), false
}

// sourceOf returns the address that stands for all addresses of a source.
func sourceOf(addr netip.Addr) netip.Addr {
	addr = netaddr.Canonical(addr)
	if !addr.Is6() {
		return addr
	}
	p, err := addr.Prefix(64)
	if err != nil {
		panic("BUG: an IPv6 address has no /64: " + err.Error())
	}
	return p.Addr()
}

// forgetFull forgets up to two sources with a full bucket. It is called for each new
// source, so their number goes down while it can.
func (l *IPLimiter) forgetFull(now time.Time) {
	const rounding = 1e-6 // TokensAt is a float64
	for range 2 {
		_, oldest, ok := l.sources.GetOldest()
		if !ok || oldest.TokensAt(now) < float64(l.perMinute)-rounding {
			return
		}
		l.sources.RemoveOldest()
	}
}
