// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"testing"
	"time"
)

func (a *arrivals) isDone() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

func TestArrivals(t *testing.T) {
	a := newArrivals(2).keepDelays()
	for i, at := range []time.Duration{70, 30} {
		if a.isDone() {
			t.Fatalf("done after %d of 2", i)
		}
		if err := a.add(stamp{n: 1, sent: 10}, at); err != nil {
			t.Fatal(err)
		}
	}
	if !a.isDone() {
		t.Fatal("not done after 2 of 2")
	}
	if a.delays.max() != 60 || a.delays.quantile(0) != 20 || a.lastAt() != 70 {
		t.Errorf("delays %v to %v, last at %v; want 20ns to 60ns, 70ns", a.delays.quantile(0), a.delays.max(), a.lastAt())
	}
	if err := a.add(stamp{n: 2}, 90); !errors.Is(err, errTooMany) {
		t.Errorf("a third of 2: %v; want %v", err, errTooMany)
	}
}

func TestArrivalsSealed(t *testing.T) {
	for _, tt := range []struct {
		name               string
		before, want, then int
		fails              bool
	}{
		{name: "when all are in", before: 3, want: 3},
		{name: "before all are in", before: 1, want: 3, then: 2},
		{name: "of none"},
		{name: "when too many are in", before: 3, want: 2, fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newOpenArrivals()
			add := func(n int) {
				for range n {
					if err := a.add(stamp{}, 1); err != nil {
						t.Fatal(err)
					}
				}
			}
			add(tt.before)
			if a.isDone() {
				t.Error("done before it was sealed")
			}
			if err := a.seal(tt.want); (err != nil) != tt.fails {
				t.Errorf("seal: %v", err)
			}
			add(tt.then)
			if a.isDone() == tt.fails {
				t.Errorf("done: %t", a.isDone())
			}
		})
	}
}
