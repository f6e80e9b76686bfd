// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/gatecast/gatecast/bench"
)

// growthSizes are the numbers of connections of [BenchmarkGrowth], which ignores -conns.
var growthSizes = []int{1000, 5000, 18_000}

// Few repetitions show whether a figure grows. But the wait for memory cannot be shorter: a node
// returns memory only after two to four quiet seconds.
const (
	growthSettle = idleSettle
	growthEvents = 10
	growthBursts = 3
)

// nodeReserve is the number of descriptors that a node needs in addition to its connections; see
// docs/guides/production.md.
const nodeReserve = 1500

// growthWorkloads are the workloads whose cost per connection must stay constant.
var growthWorkloads = []struct {
	name string
	work workload
}{
	{"idle", func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
		return bench.Idle(ctx, t, bench.IdleConfig{Connections: conns, Settle: growthSettle})
	}},
	{"fan-out", func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
		return bench.FanOut(ctx, t, bench.FanOutConfig{Connections: conns, Events: growthEvents, EventBytes: eventBytes})
	}},
	{"burst", func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
		return bench.Burst(ctx, t, bench.BurstConfig{
			Connections: conns, Events: burstEvents, EventBytes: eventBytes, Bursts: growthBursts,
		})
	}},
	{"storm", func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
		return bench.Storm(ctx, t, bench.StormConfig{Connections: conns, Dialers: stormDialers})
	}},
}

// BenchmarkGrowth runs the same workloads at several sizes.
func BenchmarkGrowth(b *testing.B) {
	for _, w := range growthWorkloads {
		for _, transport := range []string{"wss", "ws"} {
			for _, conns := range growthSizes {
				b.Run(fmt.Sprintf("%s/%s/%d", w.name, transport, conns), func(b *testing.B) {
					if err := bench.CheckDescriptors(conns + nodeReserve); err != nil {
						b.Skipf("the server's process: %v", err)
					}
					for b.Loop() {
						measureOnce(b, w.work, transport == "ws", conns, 0)
					}
				})
			}
		}
	}
}
