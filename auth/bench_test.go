// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/test/testenv"
)

// many is the number of gateways in the benchmarks.
const many = 100_000

// fill returns a store with gateways, each in one of a hundred groups, and their secrets.
func fill(tb testing.TB, gateways int) (*memstore.Store, []string) {
	tb.Helper()
	s := memstore.New()
	r, err := auth.Open(context.Background(), s, auth.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	secrets := make([]string, gateways)
	for i := range secrets {
		_, _, secrets[i], err = r.Add(context.Background(), auth.NewGateway{
			ID: fmt.Sprint("gateway-", i), Name: "a gateway of the benchmark",
			OrganizationID: "acme", Groups: []string{fmt.Sprint("group-", i%100)},
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return s, secrets
}

func filled(tb testing.TB, gateways int) (*auth.Registry, []string) {
	tb.Helper()
	s, secrets := fill(tb, gateways)
	r, err := auth.Open(context.Background(), s, auth.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.Close)
	return r, secrets
}

func BenchmarkOpen(b *testing.B) {
	s, _ := fill(b, many)
	for b.Loop() {
		r, err := auth.Open(context.Background(), s, auth.Options{})
		if err != nil || r.Len() != many {
			b.Fatalf("%d gateways, error %v", r.Len(), err)
		}
		b.StopTimer()
		r.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(heapOf(b, s))/many, "heap-bytes/gateway")
}

// heapOf returns the heap bytes of a registry of the store.
func heapOf(b *testing.B, s auth.Store) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := auth.Open(context.Background(), s, auth.Options{})
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	r.Close()
	return after.HeapAlloc - before.HeapAlloc
}

func BenchmarkVerify(b *testing.B) {
	r, secrets := filled(b, many)
	b.Run("one goroutine", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i += 7919 {
			if _, ok := r.Verify(secrets[i%many]); !ok {
				b.Fatal("refused")
			}
		}
	})
	b.Run("all processors", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i += 7919 {
				if _, ok := r.Verify(secrets[i%many]); !ok {
					b.Error("refused")
				}
			}
		})
	})
	b.Run("unknown", func(b *testing.B) {
		wrong := "gc_" + secrets[0][4:] + "A"
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := r.Verify(wrong); ok {
				b.Fatal("accepted")
			}
		}
	})
}

func BenchmarkReach(b *testing.B) {
	r, _ := filled(b, many)
	targets := map[string]event.Target{
		"one":             {GatewayIDs: []string{"gateway-77"}},
		"group of 1,000":  {Group: "group-7"},
		"all 100,000":     {All: true},
		"list of 3":       {GatewayIDs: []string{"gateway-1", "gateway-2", "gateway-3"}},
		"group of nobody": {Group: "nobody"},
	}
	for name, target := range targets {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Reach(target)
			}
		})
	}
}

// BenchmarkIDs measures the ordered index of ids, which only List needs.
func BenchmarkIDs(b *testing.B) {
	for _, n := range []int{many, 1_000_000} {
		r, _ := filled(b, n)
		b.Run(fmt.Sprintf("List/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i += 7919 {
				r.List(fmt.Sprint("gateway-", i%n), 100)
			}
		})
		b.Run(fmt.Sprintf("AddRemove/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g, _, _, err := r.Add(context.Background(), auth.NewGateway{Name: "n"})
				if err != nil {
					b.Fatal(err)
				}
				if err := r.Remove(context.Background(), g.ID); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What every connection and every publish calls does not allocate.
func TestAllocations(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector allocates")
	}
	r, secrets := filled(t, 10)
	one := event.Target{GatewayIDs: []string{"gateway-7"}}
	for name, f := range map[string]func(){
		"Verify":         func() { r.Verify(secrets[3]) },
		"Verify, absent": func() { r.Verify("gc_" + "0123456789012345678901234567890123456789012") },
		"Reach of one":   func() { r.Reach(one) },
		"Reach of all":   func() { r.Reach(event.Target{All: true}) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
