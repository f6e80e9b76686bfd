// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"fmt"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestPublishedBoundsTheTypes(t *testing.T) {
	n := NewNode("test")
	for round := range 2 { // the second finds the first's types again
		for i := range maxEventTypes + 50 {
			n.Published(fmt.Sprintf("t%d", i))
		}
		if got := testutil.CollectAndCount(n.published); got != maxEventTypes+1 {
			t.Errorf("round %d: %d types are shown, want %d and %q", round, got, maxEventTypes, otherType)
		}
	}
	if got := testutil.ToFloat64(n.published.WithLabelValues("t7")); got != 2 {
		t.Errorf("t7 counts %v, want 2", got)
	}
	if got := testutil.ToFloat64(n.published.WithLabelValues(otherType)); got != 100 {
		t.Errorf("%s counts %v, want 100", otherType, got)
	}
}

func TestPublishedFromManyGoroutines(t *testing.T) {
	n := NewNode("test")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				n.Published(fmt.Sprintf("t%d", i%10))
			}
		})
	}
	wg.Wait()
	if got := testutil.ToFloat64(n.published.WithLabelValues("t3")); got != 800 {
		t.Errorf("t3 counts %v, want 800", got)
	}
}

func BenchmarkPublished(b *testing.B) {
	n := NewNode("test")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n.Published("api.deployed")
		}
	})
}
