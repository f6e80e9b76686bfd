// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// However many attempts come at once, few of one source are verified at a time, the others
// wait or are refused, and other sources are not affected.
func TestUnknownGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g unknownGate
		a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
		var verifying, most, refused atomic.Int32
		release := make(chan struct{})
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				leave, no := g.enter(a)
				if no != nil {
					if no.status != 429 || no.code != "rate_limited" {
						t.Errorf("%+v", no)
					}
					refused.Add(1)
					return
				}
				defer leave()
				n := verifying.Add(1)
				for old := most.Load(); old < n && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				<-release
				verifying.Add(-1)
			})
		}
		synctest.Wait()
		if verifying.Load() != maxVerifying || refused.Load() != 200-maxUnknownPerSource {
			t.Errorf("%d are verified, %d refused", verifying.Load(), refused.Load())
		}
		leave, no := g.enter(b)
		if no != nil {
			t.Fatal("another source is refused")
		}
		leave()
		close(release)
		wg.Wait()
		if most.Load() != maxVerifying || len(g.sources) != 0 || g.attempts != 0 {
			t.Errorf("%d at once; %d sources, %d attempts left", most.Load(), len(g.sources), g.attempts)
		}
	})
}

// An attempt waits for a limited time, and all sources together have a limit.
func TestUnknownGateLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g unknownGate
		source := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
		var leaves []func()
		for i := range maxUnknown / maxVerifying {
			for range maxVerifying {
				leave, no := g.enter(source(i))
				if no != nil {
					t.Fatal(no)
				}
				leaves = append(leaves, leave)
			}
		}
		if _, no := g.enter(source(1000)); no == nil || no.status != 503 {
			t.Errorf("beyond the limit of all: %+v", no)
		}
		leaves[0]()
		leaves[1]()
		if _, no := g.enter(source(1)); no == nil || no.status != 429 { // waits for unknownTimeout
			t.Errorf("after the wait: %+v", no)
		}
		for _, leave := range leaves[2:] {
			leave()
		}
		if len(g.sources) != 0 || g.attempts != 0 {
			t.Errorf("%d sources, %d attempts left", len(g.sources), g.attempts)
		}
	})
}
