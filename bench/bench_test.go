// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gatecast/gatecast/bench"
)

// Sizes that have no flag.
const (
	eventBytes    = 200
	fanOutEvents  = 20
	latencyRate   = 100 // events per second
	latencyEvents = 20 * latencyRate
	singleEvents  = 10_000
	bulkEvents    = 50_000
	publishTo     = 100 // gateways
	stormDialers  = 32
	burstEvents   = 40
	bursts        = 10
	idleSettle    = 15 * time.Second
	eachRounds    = 10
	publishers    = 64
	mixedRate     = 100           // events per second
	mixedAllEvery = 5 * mixedRate // one event to all every 5 s
	mixedChurn    = 20            // connections per second
	mixedFor      = 20 * time.Second
	missedEvents  = 100
	replayEvents  = 100_000
	besideConns   = 1000
	besideRate    = 100 // events per second
	besideQuiet   = 10 * time.Second
)

// A workload is a workload of package bench with its config. conns is the value of -conns.
type workload func(ctx context.Context, t bench.Target, conns int) (bench.Result, error)

// measure runs a workload against a new server, with TLS and without. b.N is the number of runs.
func measure(b *testing.B, work workload) {
	for _, transport := range []string{"wss", "ws"} {
		b.Run(transport, func(b *testing.B) {
			for b.Loop() {
				measureOnce(b, work, transport == "ws", *connsFlag, besideConns+100)
			}
		})
	}
}

// measureOnce runs a workload with conns connections. The server allows spare more.
func measureOnce(b *testing.B, work workload, plaintext bool, conns, spare int) {
	cpus, err := split()
	if err != nil {
		b.Fatal(err)
	}
	var r bench.Result
	withServer(b, plaintext, conns+spare, cpus, func(t bench.Target) {
		if r, err = work(b.Context(), t, conns); err != nil {
			b.Fatal(err)
		}
	})
	for _, f := range r.Figures {
		b.ReportMetric(f.Value, f.Name+"-"+f.Unit)
	}
	b.ReportMetric(0, "ns/op") // has no meaning here
	report.Results = append(report.Results, r)
}

func BenchmarkIdle(b *testing.B) {
	measure(b, func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
		return bench.Idle(ctx, t, bench.IdleConfig{Connections: conns, Settle: idleSettle})
	})
}

func BenchmarkFanOut(b *testing.B) {
	fanOut := func(oneGateway bool) workload {
		return func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
			return bench.FanOut(ctx, t, bench.FanOutConfig{
				Connections: conns, OneGateway: oneGateway, Events: fanOutEvents, EventBytes: eventBytes,
			})
		}
	}
	b.Run("one-gateway", func(b *testing.B) { measure(b, fanOut(true)) })
	b.Run("all", func(b *testing.B) { measure(b, fanOut(false)) })
}

// An event of 2 KB to each connection: uncompressed from a server without compression, uncompressed
// from a server with compression that the client did not request, and compressed.
func BenchmarkCompression(b *testing.B) {
	const bytes = 2048
	fanOut := func(deflate bool) workload {
		return func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
			t.Deflate = deflate
			return bench.FanOut(ctx, t, bench.FanOutConfig{Connections: conns, Events: fanOutEvents, EventBytes: bytes})
		}
	}
	b.Run("off", func(b *testing.B) { measure(b, fanOut(false)) })
	serverFlags = []string{"--compression"}
	defer func() { serverFlags = nil }()
	b.Run("unwanted", func(b *testing.B) { measure(b, fanOut(false)) })
	b.Run("deflate", func(b *testing.B) { measure(b, fanOut(true)) })
}

func BenchmarkLatency(b *testing.B) {
	measure(b, func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
		return bench.Latency(ctx, t, bench.LatencyConfig{
			Idle: conns, Rate: latencyRate, Events: latencyEvents, EventBytes: eventBytes,
		})
	})
}

func BenchmarkPublish(b *testing.B) {
	publish := func(c bench.PublishConfig) workload {
		c.Gateways, c.EventBytes = publishTo, eventBytes
		return func(ctx context.Context, t bench.Target, _ int) (bench.Result, error) {
			return bench.Publish(ctx, t, c)
		}
	}
	b.Run("one-by-one", func(b *testing.B) { measure(b, publish(bench.PublishConfig{Events: singleEvents})) })
	b.Run("one-by-one-on-64", func(b *testing.B) {
		measure(b, publish(bench.PublishConfig{Events: singleEvents, Publishers: publishers}))
	})
	b.Run("bulk", func(b *testing.B) { measure(b, publish(bench.PublishConfig{Events: bulkEvents, Bulk: true})) })
}

func BenchmarkEach(b *testing.B) {
	measure(b, func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
		return bench.Each(ctx, t, bench.EachConfig{Connections: conns, EventBytes: eventBytes, Rounds: eachRounds})
	})
}

func BenchmarkMixed(b *testing.B) {
	measure(b, func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
		return bench.Mixed(ctx, t, bench.MixedConfig{
			Connections: conns, Rate: mixedRate, AllEvery: mixedAllEvery, Churn: mixedChurn,
			For: mixedFor, EventBytes: eventBytes,
		})
	})
}

func BenchmarkStormBeside(b *testing.B) {
	measure(b, func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
		return bench.StormBeside(ctx, t, bench.StormBesideConfig{
			Connections: besideConns, Rate: besideRate, EventBytes: eventBytes, Quiet: besideQuiet,
			Storm: conns, Dialers: stormDialers, Process: []string{os.Args[0]}, Environ: []string{stormVariable + "=1"},
		})
	})
}

func BenchmarkStorm(b *testing.B) {
	measure(b, func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
		return bench.Storm(ctx, t, bench.StormConfig{Connections: max(conns/2, 1), Dialers: stormDialers})
	})
}

// BenchmarkResume reconnects all gateways at once, to a server that has the missed events in memory
// and to one that has them only in the log.
func BenchmarkResume(b *testing.B) {
	for _, from := range sources {
		b.Run(from.name, func(b *testing.B) {
			for b.Loop() {
				measureRestarts(b, from.name, from.flags, *connsFlag)
			}
		})
	}
}

// sources are where a server has the missed events.
var sources = []struct {
	name  string
	flags []string
}{{"memory", nil}, {"log", []string{"--replay-memory", "1"}}}

// measureRestarts runs Resume with a server that is killed and started again.
func measureRestarts(b *testing.B, name string, flags []string, conns int) {
	cpus, err := split()
	if err != nil {
		b.Fatal(err)
	}
	start, kill := restarts(b, flags, conns+besideConns+100, cpus)
	t, err := start(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer kill()
	r, err := bench.Resume(b.Context(), t, bench.ResumeConfig{
		Connections: conns, Missed: missedEvents, Beside: besideConns, Rate: besideRate, EventBytes: eventBytes,
		Dialers: stormDialers, Quiet: 5 * time.Second, Restart: start,
		Process: []string{os.Args[0]}, Environ: []string{stormVariable + "=1"},
	})
	if err != nil {
		b.Fatal(err)
	}
	r.Workload += "/" + name
	report.Results = append(report.Results, r)
}

// restarts returns a function that starts the server, and kills it first if it runs; and a function
// that kills it at the end.
func restarts(tb testing.TB, flags []string, connections int, cpus *bench.CPUSet) (start func(context.Context) (bench.Target, error), kill func()) {
	tb.Helper()
	path, err := binary()
	if err != nil {
		tb.Fatal(err)
	}
	var s *bench.Server
	kill = func() {
		if s != nil {
			s.Kill()
		}
	}
	folder := tb.TempDir()
	hide := sync.OnceFunc(watchLog(tb, folder))
	start = func(ctx context.Context) (bench.Target, error) {
		kill()
		s, err = bench.StartServer(ctx, bench.ServerConfig{
			Binary: path, Folder: folder, Connections: connections, CPUs: cpus, Flags: flags,
		})
		if err != nil {
			return bench.Target{}, err
		}
		hide()
		return s.Target, nil
	}
	return start, kill
}

// BenchmarkReplay reconnects one gateway that has missed many events.
func BenchmarkReplay(b *testing.B) {
	for _, from := range sources {
		b.Run(from.name, func(b *testing.B) {
			for b.Loop() {
				withFlags(b, "replay/"+from.name, from.flags, func(ctx context.Context, t bench.Target, _ int) (bench.Result, error) {
					return bench.Replay(ctx, t, bench.ReplayConfig{Events: replayEvents, EventBytes: eventBytes})
				})
			}
		})
	}
}

// BenchmarkAcks publishes in bulk to gateways that ack every event. In Publish/bulk they ack none.
func BenchmarkAcks(b *testing.B) {
	measure(b, func(ctx context.Context, t bench.Target, _ int) (bench.Result, error) {
		return bench.Publish(ctx, t, bench.PublishConfig{Gateways: publishTo, EventBytes: eventBytes, Events: bulkEvents, Bulk: true, Acks: true})
	})
}

// BenchmarkReceipts publishes one by one, with the log synced to disk before each receipt.
// Publish/one-by-one uses the default.
func BenchmarkReceipts(b *testing.B) {
	for b.Loop() {
		withFlags(b, "publish/always", []string{"--log-sync", "always"}, func(ctx context.Context, t bench.Target, _ int) (bench.Result, error) {
			return bench.Publish(ctx, t, bench.PublishConfig{Gateways: publishTo, EventBytes: eventBytes, Events: singleEvents / 10})
		})
	}
}

// withFlags runs a workload against a server with additional flags.
func withFlags(b *testing.B, name string, flags []string, work workload) {
	cpus, err := split()
	if err != nil {
		b.Fatal(err)
	}
	serverFlags = flags
	defer func() { serverFlags = nil }()
	withServer(b, false, publishTo+100, cpus, func(t bench.Target) {
		r, err := work(b.Context(), t, 1)
		if err != nil {
			b.Fatal(err)
		}
		r.Workload = name
		report.Results = append(report.Results, r)
	})
}

func BenchmarkBurst(b *testing.B) {
	measure(b, func(ctx context.Context, t bench.Target, conns int) (bench.Result, error) {
		return bench.Burst(ctx, t, bench.BurstConfig{
			Connections: max(conns/2, 1), Events: burstEvents, EventBytes: eventBytes, Bursts: bursts,
		})
	})
}
