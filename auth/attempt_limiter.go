// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/netaddr"
)

// An AttemptLimiter limits how often gateways can try to connect.
//
//   - An attempt with a valid credential counts against its gateway at its source. The burst
//     is the attempts of one minute, or twice the gateway's connections of the last hour if
//     that is more. So all replicas of a gateway can come back at once, also behind one
//     address, and a gateway that reconnects in a loop is limited.
//   - A refused attempt counts against its source, after the refusal. Gateways with a valid
//     credential do not notice: a source of guesses does not lock out the gateways behind
//     the same NAT.
//
// A source is an IPv4 address, or the /64 of an IPv6 address. The connections of a gateway
// are those to this node. They count from the moment when they are open, so a node that has
// just started also lets in all replicas: each one that stays makes room for two.
//
// Memory is bounded. An attacker with more sources than maxMeters gets around the limit on
// refused attempts, but does not shut others out.
//
// Any goroutine can call its methods. A nil AttemptLimiter allows everything.
type AttemptLimiter struct {
	perMinute float64 // constant

	mu       sync.Mutex
	refused  *meters[netip.Addr]
	accepted *meters[gatewaySource]
	replicas replicas
}

// A gatewaySource is a gateway at one source.
type gatewaySource struct {
	gateway string
	source  netip.Addr
}

// NewAttemptLimiter returns a limiter with perMinute attempts per minute. For 0 or less it
// returns nil, which allows everything.
func NewAttemptLimiter(perMinute int) *AttemptLimiter {
	if perMinute <= 0 {
		return nil
	}
	rate := float64(perMinute)
	return &AttemptLimiter{
		perMinute: rate, refused: newMeters[netip.Addr](rate), accepted: newMeters[gatewaySource](rate),
		replicas: replicas{atLeast: int32(min(perMinute/2+1, math.MaxInt32)), of: make(map[string]*replicaCount)},
	}
}

// Blocked reports whether attempts from addr that would be refused are blocked, and until
// when. It counts nothing. now is from time.Now, whose monotonic clock is never set back.
func (l *AttemptLimiter) Blocked(addr netip.Addr, now time.Time) (retryAfter time.Duration, blocked bool) {
	if l == nil {
		return 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m, known := l.refused.lru.Get(netaddr.Source(addr))
	if !known {
		return 0, false
	}
	retryAfter, ok := l.refused.room(m, l.perMinute, now)
	return retryAfter, !ok
}

// Refused counts a refused attempt from addr.
func (l *AttemptLimiter) Refused(addr netip.Addr, now time.Time) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused.get(netaddr.Source(addr), now).level++
}

// Accept returns counted if an attempt from addr with the valid credential g is allowed. The
// caller calls counted once: when g.Live counts the connection, or when the attempt has
// failed. It takes no lock. A nil counted refuses the attempt: retryAfter is the time until
// the next one is allowed, and nothing was counted.
func (l *AttemptLimiter) Accept(g *Grant, addr netip.Addr, now time.Time) (counted func(), retryAfter time.Duration) {
	if l == nil {
		return func() {}, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.accepted.get(gatewaySource{g.Gateway.ID, netaddr.Source(addr)}, now)
	conns := m.opening.Load() // first: one that is counted in between is counted twice
	if g.Live != nil {
		conns += g.Live.Load()
	}
	burst := max(l.perMinute, 2*float64(l.replicas.lastHour(g, conns, now)))
	if retryAfter, ok := l.accepted.room(m, burst, now); !ok {
		return nil, retryAfter
	}
	m.level++
	m.opening.Add(1)
	l.replicas.connects(g, conns+1)
	return func() { m.opening.Add(-1) }, 0
}
