// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"github.com/gatecast/gatecast/bench"
)

// A workload is a workload of package bench, and the figures to show.
type workload struct {
	name    string
	columns []column
	measure func(ctx context.Context, t bench.Target, s sizes) (bench.Result, error)
}

func (w workload) String() string { return w.name }

// A column shows one figure. A count has no ratio if gatecast's is 0.
type column struct {
	figure string
	unit   string
	count  bool
}

// sizes are the sizes of the workloads.
type sizes struct {
	conns           int // storm and burst take half
	settle          time.Duration
	fanOutEvents    int
	burstEvents     int
	bursts          int
	publishGateways int
	publishEvents   int
}

// fullSizes are the sizes of the benchmarks of package bench.
func fullSizes(conns int) sizes {
	return sizes{
		conns: conns, settle: 5 * time.Second,
		fanOutEvents: 20, burstEvents: 40, bursts: 10,
		publishGateways: 100, publishEvents: 50_000,
	}
}

// The same for all sizes, as in the benchmarks of package bench.
const (
	eventBytes = 200
	dialers    = 32
)

const serverCPU = "server-cpu"

var workloads = []workload{
	{"idle", []column{{figure: "rss", unit: "KB/conn"}, {figure: "goroutines", unit: "more", count: true}},
		func(ctx context.Context, t bench.Target, s sizes) (bench.Result, error) {
			return bench.Idle(ctx, t, bench.IdleConfig{Connections: s.conns, Settle: s.settle})
		}},
	{"burst", []column{{figure: serverCPU, unit: "µs/delivery"}, {figure: "last-p50", unit: "ms"}},
		func(ctx context.Context, t bench.Target, s sizes) (bench.Result, error) {
			return bench.Burst(ctx, t, bench.BurstConfig{
				Connections: s.conns / 2, Events: s.burstEvents, EventBytes: eventBytes, Bursts: s.bursts,
			})
		}},
	{"fanout", []column{{figure: serverCPU, unit: "µs/delivery"}, {figure: "last-p50", unit: "ms"}},
		func(ctx context.Context, t bench.Target, s sizes) (bench.Result, error) {
			return bench.FanOut(ctx, t, bench.FanOutConfig{
				Connections: s.conns, Events: s.fanOutEvents, EventBytes: eventBytes,
			})
		}},
	{"storm", []column{{figure: serverCPU, unit: "µs/connect"}, {figure: "connects", unit: "connects/s"}},
		func(ctx context.Context, t bench.Target, s sizes) (bench.Result, error) {
			return bench.Storm(ctx, t, bench.StormConfig{Connections: s.conns / 2, Dialers: dialers})
		}},
	{"publish", []column{{figure: "received", unit: "events/s"}, {figure: serverCPU, unit: "µs/event"}},
		func(ctx context.Context, t bench.Target, s sizes) (bench.Result, error) {
			return bench.Publish(ctx, t, bench.PublishConfig{
				Gateways: s.publishGateways, Events: s.publishEvents, EventBytes: eventBytes, Bulk: true,
			})
		}},
}
