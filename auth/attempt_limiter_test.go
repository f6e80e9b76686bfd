// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var limiterStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// nthAddr returns one of many IPv4 addresses.
func nthAddr(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n)+10<<24)
	return netip.AddrFrom4(b)
}

// limited returns a grant of a gateway.
func limited(id string) *Grant { return &Grant{Gateway: &Gateway{ID: id}, Live: new(atomic.Int32)} }

// guess is a refused attempt. It reports false when the address is blocked.
func (l *AttemptLimiter) guess(a netip.Addr, now time.Time) (retryAfter time.Duration, ok bool) {
	if retryAfter, blocked := l.Blocked(a, now); blocked {
		return retryAfter, false
	}
	l.Refused(a, now)
	return 0, true
}

// accept is an attempt with a valid credential. The test changes g.Live itself.
func (l *AttemptLimiter) accept(g *Grant, a netip.Addr, now time.Time) (retryAfter time.Duration, ok bool) {
	counted, retryAfter := l.Accept(g, a, now)
	if counted != nil {
		counted()
	}
	return retryAfter, counted != nil
}

// An address is one source in all its forms.
func TestAttemptSources(t *testing.T) {
	tests := []struct {
		name string
		a, b string
		same bool
	}{
		{"IPv4 neighbours", "192.0.2.1", "192.0.2.2", false},
		{"IPv4 in IPv6", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"one /64", "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{"two /64", "2001:db8::1", "2001:db8:0:1::1", false},
		{"zones", "fe80::1%eth0", "fe80::2%eth1", true},
	}
	for _, test := range tests {
		l, g := NewAttemptLimiter(2), limited("g")
		for range 2 {
			l.guess(netip.MustParseAddr(test.a), limiterStart)
			l.accept(g, netip.MustParseAddr(test.a), limiterStart)
		}
		if _, ok := l.guess(netip.MustParseAddr(test.b), limiterStart); ok == test.same {
			t.Errorf("%s: one source: %t; want %t", test.name, !ok, test.same)
		}
		if _, ok := l.accept(g, netip.MustParseAddr(test.b), limiterStart); ok == test.same {
			t.Errorf("%s: one source of a gateway: %t; want %t", test.name, !ok, test.same)
		}
	}
	l := NewAttemptLimiter(1)
	l.guess(netip.Addr{}, limiterStart) // an address nobody knows is a source as well
	if _, ok := l.guess(netip.Addr{}, limiterStart); ok {
		t.Error("the unknown address has no limit")
	}
}

// Refused attempts are limited per address.
func TestRefusedAttempts(t *testing.T) {
	l := NewAttemptLimiter(10)
	a, b := nthAddr(1), nthAddr(2)
	for i := range 10 {
		if _, ok := l.guess(a, limiterStart); !ok {
			t.Fatalf("attempt %d is blocked", i+1)
		}
	}
	for range 3 { // a blocked attempt counts nothing
		if retryAfter, ok := l.guess(a, limiterStart); ok || retryAfter != 6*time.Second {
			t.Fatalf("attempt 11 is %t, retry after %v; want 6s", ok, retryAfter)
		}
	}
	if _, ok := l.guess(b, limiterStart); !ok {
		t.Error("another address is blocked")
	}
	if _, ok := l.accept(limited("g"), a, limiterStart); !ok {
		t.Error("a gateway behind the address is locked out")
	}
	if _, ok := l.guess(a, limiterStart.Add(6*time.Second-time.Millisecond)); ok {
		t.Error("allowed before its time")
	}
	if _, ok := l.guess(a, limiterStart.Add(6*time.Second)); !ok {
		t.Error("blocked after its time")
	}
}

func TestAttemptLimiterOff(t *testing.T) {
	for _, perMinute := range []int{0, -1} {
		l, g := NewAttemptLimiter(perMinute), limited("g")
		for range 1000 {
			if _, ok := l.guess(nthAddr(1), limiterStart); !ok {
				t.Fatal("a limit that is off blocks")
			}
			if _, ok := l.accept(g, nthAddr(1), limiterStart); !ok {
				t.Fatal("a limit that is off refuses")
			}
		}
	}
}

// connect counts connections that are accepted at once and stay.
func connect(l *AttemptLimiter, g *Grant, n int, now time.Time) (accepted int) {
	var later []func()
	for range n {
		if counted, _ := l.Accept(g, nthAddr(1), now); counted != nil {
			later = append(later, counted)
		}
	}
	for _, counted := range later {
		g.Live.Add(1)
		counted()
	}
	return len(later)
}

// All replicas of a gateway connect at once, and come back at once as often as the burst
// allows, also hours later and after half of them have gone.
func TestReplicasComeBack(t *testing.T) {
	const replicas = 50
	l, g, now := NewAttemptLimiter(10), limited("g"), limiterStart
	if n := connect(l, g, replicas, now); n != replicas {
		t.Fatalf("%d of %d connected", n, replicas)
	}
	for i := range 20 { // others keep the node busy; an attempt of this gateway too, early on
		now = now.Add(17 * time.Minute)
		l.accept(limited(fmt.Sprint(i)), nthAddr(2), now)
	}
	g.Live.Store(0)
	if n := connect(l, g, replicas, now); n != replicas {
		t.Errorf("%d of %d came back", n, replicas)
	}
	g.Live.Store(0)
	if n := connect(l, g, replicas, now.Add(time.Second)); n != replicas {
		t.Errorf("%d of %d came back again", n, replicas)
	}
	g.Live.Store(0)
	if n := connect(l, g, replicas, now.Add(2*time.Second)); n > 1 {
		t.Errorf("%d came back a third time; want what the rate allows", n)
	}
}

// A gateway whose connections do not stay has the burst of one.
func TestReconnectLoopIsLimited(t *testing.T) {
	l, g := NewAttemptLimiter(10), limited("g")
	for i := range 100 {
		g.Live.Store(1) // one that is open, or not yet closed
		if _, ok := l.accept(g, nthAddr(1), limiterStart); ok != (i < 10) {
			t.Fatalf("attempt %d is %t", i+1, ok)
		}
	}
	retryAfter, _ := l.accept(g, nthAddr(1), limiterStart)
	if retryAfter != 6*time.Second {
		t.Errorf("retry after %v", retryAfter)
	}
	if _, ok := l.accept(g, nthAddr(2), limiterStart); !ok {
		t.Error("refused at another address")
	}
	if _, ok := l.accept(limited("other"), nthAddr(1), limiterStart); !ok {
		t.Error("another gateway is refused")
	}
}

// After about an hour with fewer connections a gateway has the smaller burst again, and
// nothing of it is kept.
func TestReplicasAreForgotten(t *testing.T) {
	l, g, now := NewAttemptLimiter(10), limited("g"), limiterStart
	connect(l, g, 50, now)
	g.Live.Store(0)
	for i := range 2 * replicaWindows {
		now = now.Add(replicaWindow)
		l.accept(limited(fmt.Sprint(i)), nthAddr(2), now)
	}
	if len(l.replicas.of) != 0 {
		t.Error("the gateway is still remembered")
	}
	for i := range 11 {
		if _, ok := l.accept(g, nthAddr(1), now); ok != (i < 10) {
			t.Fatalf("attempt %d is %t", i+1, ok)
		}
	}
}

// In any order of attempts a key gets its burst and what leaks, and no more. A client that
// waits for retryAfter is allowed.
func TestAttemptsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perMinute := rapid.IntRange(1, 1000).Draw(t, "per minute")
		l, g, other := NewAttemptLimiter(perMinute), limited("g"), limited("other")
		now := limiterStart
		allowed := 0
		for range rapid.IntRange(1, 300).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "pause")))
			retryAfter, ok := l.accept(g, nthAddr(1), now)
			l.accept(other, nthAddr(1), now)
			l.guess(nthAddr(1), now)
			if !ok && rapid.Bool().Draw(t, "waits") {
				if retryAfter <= 0 || retryAfter > time.Minute {
					t.Fatalf("retry after %v", retryAfter)
				}
				now = now.Add(retryAfter)
				if _, ok = l.accept(g, nthAddr(1), now); !ok {
					t.Fatalf("refused after waiting retryAfter, %v", retryAfter)
				}
			}
			if ok {
				allowed++
			}
			burst := float64(max(perMinute, 2)) // twice the one connection that it has at a time
			if most := burst + float64(perMinute)*now.Sub(limiterStart).Minutes() + 1e-3; float64(allowed) > most {
				t.Fatalf("%d attempts allowed in %v; want at most %f", allowed, now.Sub(limiterStart), most)
			}
		}
	})
}

// An empty meter is forgotten: a new one would allow the same.
func TestMetersForget(t *testing.T) {
	l := NewAttemptLimiter(10) // an attempt takes 6 s
	for i := range 100 {
		l.guess(nthAddr(i), limiterStart)
	}
	l.guess(nthAddr(5), limiterStart.Add(6*time.Second-time.Millisecond))
	l.guess(nthAddr(999), limiterStart.Add(6*time.Second-time.Millisecond))
	if n := l.refused.lru.Len(); n != 101 {
		t.Fatalf("%d meters; want 101: none is empty yet", n)
	}
	for i := range 99 {
		l.guess(nthAddr(1000+i), limiterStart.Add(6*time.Second))
	}
	if n := l.refused.lru.Len(); n != 101 { // the new ones, and the two that tried since
		t.Errorf("%d meters; want 101", n)
	}
	if !l.refused.lru.Contains(nthAddr(5)) {
		t.Error("a meter that is not empty was forgotten")
	}
}

func TestMetersFull(t *testing.T) {
	l := NewAttemptLimiter(1)
	for i := range maxMeters {
		l.guess(nthAddr(i), limiterStart.Add(time.Duration(i)))
	}
	l.guess(nthAddr(0), limiterStart.Add(maxMeters)) // blocked, but it counts as an attempt
	if _, ok := l.guess(nthAddr(maxMeters), limiterStart.Add(maxMeters)); !ok {
		t.Error("a new source is blocked when there is no room")
	}
	if n := l.refused.lru.Len(); n != maxMeters {
		t.Errorf("%d meters; want %d", n, maxMeters)
	}
	if l.refused.lru.Contains(nthAddr(1)) || !l.refused.lru.Contains(nthAddr(0)) {
		t.Error("another meter than the one with the oldest attempt was forgotten")
	}
	if _, ok := l.guess(nthAddr(0), limiterStart.Add(maxMeters)); ok {
		t.Error("a source that kept trying got around the limit")
	}
}

func TestAttemptsTogether(t *testing.T) {
	l, g := NewAttemptLimiter(100), limited("g")
	var allowed atomic.Int32
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 100 {
				if _, ok := l.accept(g, nthAddr(0), limiterStart); ok {
					allowed.Add(1)
				}
				l.guess(nthAddr(1+n*100+i), limiterStart)
			}
		})
	}
	wg.Wait()
	if n := allowed.Load(); n != 100 {
		t.Errorf("%d attempts allowed; want 100", n)
	}
}

func BenchmarkAttempts(b *testing.B) {
	for _, keys := range []int{1, maxMeters, 2 * maxMeters} {
		b.Run(fmt.Sprint("gateways=", keys), func(b *testing.B) {
			l := NewAttemptLimiter(10)
			grants := make([]*Grant, keys)
			for i := range grants {
				grants[i] = limited(fmt.Sprint(i))
				l.accept(grants[i], nthAddr(i), limiterStart)
			}
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := int(next.Add(1)) * 7919; pb.Next(); i += 7919 {
					k := i % keys
					l.Blocked(nthAddr(k), limiterStart)
					l.accept(grants[k], nthAddr(k), limiterStart)
				}
			})
		})
	}
}
