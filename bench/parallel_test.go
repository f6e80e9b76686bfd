// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

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
		t.Errorf("%d at the same time; want at most %d", m, atOnce)
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
			<-ctx.Done() // later calls end after the third failed
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
