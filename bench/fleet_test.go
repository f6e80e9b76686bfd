// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestArrivals(t *testing.T) {
	a := newArrivals(2).keepDelays()
	for i, at := range []time.Duration{30, 70} {
		select {
		case <-a.done:
			t.Fatalf("done after %d of 2", i)
		default:
		}
		if err := a.add(stamp{n: 1, sent: 10}, at); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-a.done:
	default:
		t.Fatal("not done after 2 of 2")
	}
	if want := []time.Duration{20, 60}; !slices.Equal(a.delays, want) || a.last != 70 {
		t.Errorf("delays %v, last %v; want %v, 70ns", a.delays, a.last, want)
	}
	if err := a.add(stamp{n: 2}, 90); !errors.Is(err, errTooMany) {
		t.Errorf("a third of 2: %v; want %v", err, errTooMany)
	}
}

func TestFleetWaitFails(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		fail error
		want string
	}{
		{"with a peer", t.Context(), errors.New("connection lost"), "connection lost"},
		{"with the context", ended, nil, "1 of 3 deliveries"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFleet()
			a := newArrivals(3)
			f.expect(a)
			if err := f.arrived(stamp{n: 1}); err != nil {
				t.Fatal(err)
			}
			if tt.fail != nil {
				f.fail(tt.fail)
				f.fail(errors.New("a later one"))
			}
			if err := f.wait(tt.ctx, a); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want it to say %q", err, tt.want)
			}
		})
	}
}

func TestFleetExpectsNothing(t *testing.T) {
	if err := newFleet().arrived(stamp{n: 4}); err == nil {
		t.Error("an event that nobody published: no error")
	}
}

func TestInParallel(t *testing.T) {
	const n, atOnce = 100, 4
	var calls [n]atomic.Int32
	var running, most atomic.Int32
	err := inParallel(t.Context(), n, atOnce, func(_ context.Context, i int) error {
		now := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
		}
		calls[i].Add(1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range calls {
		if c := calls[i].Load(); c != 1 {
			t.Errorf("%d was called %d times", i, c)
		}
	}
	if m := most.Load(); m > atOnce {
		t.Errorf("%d at once; want at most %d", m, atOnce)
	}
}

func TestInParallelFails(t *testing.T) {
	want := errors.New("the third")
	var calls atomic.Int32
	err := inParallel(t.Context(), 1000, 2, func(ctx context.Context, i int) error {
		calls.Add(1)
		if i == 2 {
			return want
		}
		if i > 2 {
			<-ctx.Done() // so that whoever comes later is stopped by the third
		}
		return nil
	})
	if !errors.Is(err, want) {
		t.Errorf("%v; want %v", err, want)
	}
	if c := calls.Load(); c > 4 {
		t.Errorf("%d calls, though the third failed", c)
	}
}
