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

// An address is one source in all its forms.
func TestOneSourceInAllForms(t *testing.T) {
	now := time.Now()
	for _, forms := range [][]string{
		{"192.0.2.7", "::ffff:192.0.2.7"},
		{"fe80::1", "fe80::1%eth0", "fe80::2%7"},
		{"2001:db8::1", "2001:db8::2"},
	} {
		l := NewIPLimiter(len(forms))
		for _, form := range append(forms, forms[0]) {
			if _, ok := l.Allow(netip.MustParseAddr(form), now); ok && form == forms[0] && l.sources.Len() != 1 {
				t.Errorf("%s: allowed %v, %d sources", form, ok, l.sources.Len())
			}
		}
		if _, ok := l.Allow(netip.MustParseAddr(forms[len(forms)-1]), now); ok {
			t.Errorf("%v are several sources", forms)
		}
	}
}

func TestIPLimiter(t *testing.T) {
	l := NewIPLimiter(10)
	a, b := nthAddr(1), nthAddr(2)
	for i := range 10 {
		if _, ok := l.Allow(a, limiterStart); !ok {
			t.Fatalf("attempt %d is refused", i+1)
		}
	}
	for range 3 { // a refusal uses no token
		if retryAfter, ok := l.Allow(a, limiterStart); ok || retryAfter != 6*time.Second {
			t.Fatalf("attempt 11 is %t, retry after %v; want 6s", ok, retryAfter)
		}
	}
	if _, ok := l.Allow(b, limiterStart); !ok {
		t.Error("another address is refused")
	}
	if _, ok := l.Allow(a, limiterStart.Add(6*time.Second-1)); ok {
		t.Error("allowed before its time")
	}
	if _, ok := l.Allow(a, limiterStart.Add(6*time.Second)); !ok {
		t.Error("refused when its token was there")
	}
}

func TestIPLimiterOff(t *testing.T) {
	for _, perMinute := range []int{0, -1} {
		l := NewIPLimiter(perMinute)
		for range 1000 {
			if retryAfter, ok := l.Allow(nthAddr(1), limiterStart); !ok || retryAfter != 0 {
				t.Fatal("a limit that is off refuses")
			}
		}
	}
}

func TestIPLimiterSources(t *testing.T) {
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
		l := NewIPLimiter(1)
		l.Allow(netip.MustParseAddr(test.a), limiterStart)
		if _, ok := l.Allow(netip.MustParseAddr(test.b), limiterStart); ok == test.same {
			t.Errorf("%s: one source: %t; want %t", test.name, !ok, test.same)
		}
	}
	l := NewIPLimiter(1)
	l.Allow(netip.Addr{}, limiterStart) // an address nobody knows is a source as well
	if _, ok := l.Allow(netip.Addr{}, limiterStart); ok {
		t.Error("the unknown address has no limit")
	}
}

// In any order of attempts a source gets its bucket and what refills it, and no more. A
// client that waits for retryAfter is allowed.
func TestIPLimiterBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perMinute := rapid.IntRange(1, 1000).Draw(t, "per minute")
		l := NewIPLimiter(perMinute)
		now := limiterStart
		allowed := 0
		for range rapid.IntRange(1, 300).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "pause")))
			retryAfter, ok := l.Allow(nthAddr(1), now)
			l.Allow(nthAddr(2), now)
			if !ok && rapid.Bool().Draw(t, "waits") {
				if retryAfter <= 0 || retryAfter > time.Minute {
					t.Fatalf("retry after %v", retryAfter)
				}
				now = now.Add(retryAfter)
				if _, ok = l.Allow(nthAddr(1), now); !ok {
					t.Fatalf("refused after waiting retryAfter, %v", retryAfter)
				}
			}
			if ok {
				allowed++
			}
			if most := float64(perMinute)*(1+now.Sub(limiterStart).Minutes()) + 1e-3; float64(allowed) > most {
				t.Fatalf("%d attempts allowed in %v; want at most %f", allowed, now.Sub(limiterStart), most)
			}
		}
	})
}

// A source is forgotten when its bucket is full: a new one would allow the same.
func TestIPLimiterForgets(t *testing.T) {
	l := NewIPLimiter(10) // a token takes 6 s
	for i := range 100 {
		l.Allow(nthAddr(i), limiterStart)
	}
	l.Allow(nthAddr(5), limiterStart.Add(6*time.Second-time.Millisecond))
	l.Allow(nthAddr(999), limiterStart.Add(6*time.Second-time.Millisecond))
	if l.sources.Len() != 101 {
		t.Fatalf("%d sources; want 101: no bucket is full yet", l.sources.Len())
	}
	for i := range 99 {
		l.Allow(nthAddr(1000+i), limiterStart.Add(6*time.Second))
	}
	if l.sources.Len() != 101 { // the new ones, and the two that tried since
		t.Errorf("%d sources; want 101", l.sources.Len())
	}
	if !l.sources.Contains(nthAddr(5)) {
		t.Error("a source without a full bucket was forgotten")
	}
}

func TestIPLimiterFull(t *testing.T) {
	l := NewIPLimiter(1)
	for i := range maxSources {
		l.Allow(nthAddr(i), limiterStart.Add(time.Duration(i)))
	}
	l.Allow(nthAddr(0), limiterStart.Add(maxSources)) // refused, but it counts as an attempt
	if _, ok := l.Allow(nthAddr(maxSources), limiterStart.Add(maxSources)); !ok {
		t.Error("a new source is refused when there is no room")
	}
	if l.sources.Len() != maxSources {
		t.Errorf("%d sources; want %d", l.sources.Len(), maxSources)
	}
	if l.sources.Contains(nthAddr(1)) || !l.sources.Contains(nthAddr(0)) {
		t.Error("another source than the one with the oldest attempt was forgotten")
	}
	if _, ok := l.Allow(nthAddr(0), limiterStart.Add(maxSources)); ok {
		t.Error("a source that kept trying got around the limit")
	}
}

func TestIPLimiterTogether(t *testing.T) {
	l := NewIPLimiter(100)
	var allowed atomic.Int32
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				if _, ok := l.Allow(nthAddr(0), limiterStart); ok {
					allowed.Add(1)
				}
				l.Allow(nthAddr(1+g*100+i), limiterStart.Add(time.Duration(i)*time.Second))
			}
		})
	}
	wg.Wait()
	// Other goroutines' clocks are ahead, so the source may be forgotten and
	// known again; but every bucket is at most 100.
	if n := allowed.Load(); n < 100 {
		t.Errorf("%d attempts allowed; want the bucket's 100 at least", n)
	}
}

func BenchmarkIPLimiterAllow(b *testing.B) {
	for _, sources := range []int{1, maxSources, 2 * maxSources} {
		b.Run(fmt.Sprint("sources=", sources), func(b *testing.B) {
			l := NewIPLimiter(10)
			addrs := make([]netip.Addr, sources)
			for i := range addrs {
				addrs[i] = nthAddr(i)
				l.Allow(addrs[i], limiterStart)
			}
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := int(next.Add(1)) * 7919; pb.Next(); i += 7919 {
					l.Allow(addrs[i%len(addrs)], limiterStart)
				}
			})
		})
	}
}
