// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"slices"
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
