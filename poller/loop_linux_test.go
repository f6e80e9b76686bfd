// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// No ring is lost, and rings while one is pending cause one turn.
func TestRing(t *testing.T) {
	var turns atomic.Int64
	release, turned := make(chan struct{}), make(chan struct{}, 100)
	loop, err := Start(Config{
		Turn:      func(time.Time) bool { turns.Add(1); turned <- struct{}{}; <-release; return false },
		Tick:      func(time.Time) {},
		TickEvery: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	loop.Ring()
	<-turned // the loop is in its turn
	for range 10 {
		loop.Ring()
	}
	release <- struct{}{}
	<-turned // the ten rings made one turn
	release <- struct{}{}
	loop.Ring()
	<-turned
	release <- struct{}{}
	if n := turns.Load(); n != 3 {
		t.Errorf("%d turns, want 3", n)
	}
}

func TestTurnAgain(t *testing.T) {
	left := 5
	done := make(chan struct{})
	loop, err := Start(Config{
		Turn: func(time.Time) bool {
			if left--; left == 0 {
				close(done)
			}
			return left > 0
		},
		Tick:      func(time.Time) {},
		TickEvery: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	loop.Ring()
	<-done
}

// Rings while a loop is closed, and later, do nothing. They write to no descriptor: its
// number may be another file's by then.
func TestRingAfterClose(t *testing.T) {
	for range 10 {
		loop, err := Start(Config{
			Turn: func(time.Time) bool { return false }, Tick: func(time.Time) {}, TickEvery: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		var rung atomic.Int64
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for after := 0; after < 100; {
					loop.rung.Store(false) // so that each ring would write
					loop.Ring()
					rung.Add(1)
					select {
					case <-stop:
						after++
					default:
					}
				}
			})
		}
		for rung.Load() < 100 {
			runtime.Gosched()
		}
		loop.Close()
		close(stop)
		wg.Wait()
	}
}

func TestTick(t *testing.T) {
	ticks := make(chan time.Time, 100)
	loop, err := Start(Config{
		Turn:      func(time.Time) bool { return false },
		Tick:      func(now time.Time) { ticks <- now },
		TickEvery: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	first := <-ticks
	if second := <-ticks; !second.After(first) {
		t.Errorf("tick at %v after one at %v", second, first)
	}
	loop.Close()
}
