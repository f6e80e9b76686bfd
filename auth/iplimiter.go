// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/netaddr"

	"golang.org/x/time/rate"
)

// maxSources bounds the sources an [IPLimiter] knows, and with them its memory:
// about 25 MB.
const maxSources = 100_000

// fillTime is how long an empty bucket takes to be full.
const fillTime = time.Minute

// An IPLimiter bounds how often one source may try to connect. A source is an
// IPv4 address, or the /64 of an IPv6 address, as one machine commonly has all
// of that. Each has a bucket of a minute's attempts, which may be spent at once.
//
// A source is forgotten when its bucket must be full again, at the next attempt
// of any. When there are maxSources, the one that has been quiet the longest is
// forgotten for a new one: who commands more networks than that gets around the
// limit, but does not shut others out.
//
// Its methods may be called by any goroutine. A nil IPLimiter allows everything.
type IPLimiter struct {
	// Constant after NewIPLimiter.
	perMinute int
	perSecond rate.Limit

	mu      sync.Mutex
	sources map[netip.Addr]*source
	// ring is where the sources' ring begins and ends: its next is the source
	// that tried last, its prev the one that has been quiet the longest.
	ring source
}

// A source is somewhere attempts come from.
type source struct {
	addr       netip.Addr
	bucket     *rate.Limiter
	last       time.Time // its last attempt
	prev, next *source
}

// NewIPLimiter returns a limiter that allows each source so many attempts a
// minute; for 0 or less it returns nil, which allows everything.
func NewIPLimiter(perMinute int) *IPLimiter {
	if perMinute <= 0 {
		return nil
	}
	l := &IPLimiter{
		perMinute: perMinute,
		perSecond: rate.Limit(float64(perMinute) / fillTime.Seconds()),
		sources:   make(map[netip.Addr]*source),
	}
	l.ring.prev, l.ring.next = &l.ring, &l.ring
	return l
}

// Allow reports whether an attempt from addr may go on; if not, retryAfter is
// when the next one may. An attempt that may not costs nothing. now is from
// time.Now: its monotonic clock is never set back.
func (l *IPLimiter) Allow(addr netip.Addr, now time.Time) (retryAfter time.Duration, ok bool) {
	if l == nil {
		return 0, true
	}
	addr = sourceOf(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sources[addr]
	if s == nil {
		l.makeRoom(now)
		s = &source{addr: addr, bucket: rate.NewLimiter(l.perSecond, l.perMinute)}
		l.sources[addr] = s
	} else {
		s.unlink()
	}
	s.last = now
	s.linkAfter(&l.ring)
	if s.bucket.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - s.bucket.TokensAt(now)
	return time.Duration(math.Ceil(missing / float64(l.perSecond) * float64(time.Second))), false
}

// sourceOf returns the address that stands for all of a source's.
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

// makeRoom forgets up to two sources that are idle, so that there are fewer of
// them with every new one, and one more if there is no room.
func (l *IPLimiter) makeRoom(now time.Time) {
	for range 2 {
		oldest := l.ring.prev
		if oldest == &l.ring || now.Sub(oldest.last) < fillTime {
			break
		}
		l.forget(oldest)
	}
	if len(l.sources) >= maxSources {
		l.forget(l.ring.prev)
	}
}

func (l *IPLimiter) forget(s *source) {
	s.unlink()
	delete(l.sources, s.addr)
}

func (s *source) unlink() {
	s.prev.next, s.next.prev = s.next, s.prev
}

func (s *source) linkAfter(at *source) {
	s.prev, s.next = at, at.next
	at.next.prev, at.next = s, s
}
