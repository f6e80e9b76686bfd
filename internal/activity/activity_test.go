// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"sync"
	"testing"
	"time"
)

func TestLastSign(t *testing.T) {
	at := func(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }
	var r Requests
	see := func(when string, now int, want time.Time) {
		t.Helper()
		if got := r.LastActive(at(now)); !got.Equal(want) {
			t.Errorf("%s: the last sign is %v after the epoch, want %v", when, got.Sub(epoch), want.Sub(epoch))
		}
	}
	see("without a request", 5, time.Time{})
	r.Begin(at(10))
	see("at its beginning", 10, at(10))
	see("in progress", 40, at(40))
	see("a minute later", 70, at(70))
	see("stuck", 100, at(70))
	r.BytesMoved(at(110))
	see("moving again", 110, at(110))
	r.Begin(at(115))
	r.End(at(120))
	see("another one goes on", 150, at(150))
	r.End(at(151))
	see("ended", 160, at(151))
	r.BytesMoved(at(170)) // of the answer's last bytes
	see("moved after the end", 170, at(151))
	r.Begin(at(200))
	r.End(at(300))
	see("ended, stuck", 400, at(260))
	if !(*Requests)(nil).LastActive(at(1)).IsZero() {
		t.Error("nobody gave a sign")
	}
}

// Whatever the order, when all have ended nothing is in progress, and while one is in
// progress the gateway is alive.
func TestManyAtOnce(t *testing.T) {
	var (
		r  Requests
		wg sync.WaitGroup
	)
	r.Begin(epoch.Add(time.Hour))
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				now := epoch.Add(time.Hour + time.Duration(i)*time.Millisecond)
				r.Begin(now)
				r.BytesMoved(now)
				r.End(now)
			}
		})
	}
	wg.Wait()
	now := epoch.Add(time.Hour + time.Second)
	if got := r.LastActive(now); !got.Equal(now) {
		t.Errorf("one is in progress, and the last sign is %v ago", now.Sub(got))
	}
	r.End(now)
	if got := r.LastActive(now.Add(time.Hour)); !got.Equal(now) || r.running.Load() != 0 {
		t.Errorf("%d in progress, the last sign is %v after the end", r.running.Load(), got.Sub(now))
	}
}
