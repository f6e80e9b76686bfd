// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/gatecast/gatecast/bench"
)

// smokeConns is the number of connections in the tests of the workloads. A workload fails by itself
// if a connection does not receive each of its events once and in order.
const smokeConns = 50

func TestWorkloads(t *testing.T) {
	tests := []struct {
		name string
		work func(context.Context, bench.Target) (bench.Result, error)
		want []string // figures that must be above 0
	}{
		{"idle", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Idle(ctx, t, bench.IdleConfig{Connections: smokeConns, Settle: 20 * time.Millisecond})
		}, []string{"threads", "rss-before", "rss-after", "rss-peak"}},
		{"fan-out to one gateway", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.FanOut(ctx, t, bench.FanOutConfig{Connections: smokeConns, OneGateway: true, Events: 5, EventBytes: eventBytes})
		}, []string{"server-cpu", "load-cpu", "wire", "last-p50", "last-max"}},
		{"fan-out to all", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.FanOut(ctx, t, bench.FanOutConfig{Connections: smokeConns, Events: 5, EventBytes: eventBytes})
		}, []string{"server-cpu", "load-cpu", "wire", "last-p50", "last-max"}},
		{"latency", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Latency(ctx, t, bench.LatencyConfig{Idle: smokeConns, Rate: 500, Events: 50, EventBytes: eventBytes})
		}, []string{"server-cpu", "load-cpu", "p50", "p99", "max"}},
		{"publish one by one", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Publish(ctx, t, bench.PublishConfig{Gateways: smokeConns, Events: 200, EventBytes: eventBytes})
		}, []string{"server-cpu", "load-cpu", "received", "answered"}},
		{"publish one by one on several connections", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Publish(ctx, t, bench.PublishConfig{Gateways: smokeConns, Events: 203, EventBytes: eventBytes, Publishers: 8})
		}, []string{"server-cpu", "load-cpu", "received", "answered"}},
		{"publish in bulk", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Publish(ctx, t, bench.PublishConfig{Gateways: smokeConns, Events: 2000, EventBytes: eventBytes, Bulk: true})
		}, []string{"server-cpu", "load-cpu", "received", "answered"}},
		{"publish to who acks", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Publish(ctx, t, bench.PublishConfig{Gateways: smokeConns, Events: 2000, EventBytes: eventBytes, Bulk: true, Acks: true})
		}, []string{"server-cpu", "load-cpu", "received", "answered"}},
		{"replay", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Replay(ctx, t, bench.ReplayConfig{Events: 2000, EventBytes: eventBytes})
		}, []string{"server-cpu", "load-cpu", "received"}},
		{"storm", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Storm(ctx, t, bench.StormConfig{Connections: smokeConns, Dialers: 8})
		}, []string{"server-cpu", "load-cpu", "connects", "rss-before", "rss-peak"}},
		{"burst", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Burst(ctx, t, bench.BurstConfig{Connections: smokeConns, Events: 40, EventBytes: eventBytes, Bursts: 2})
		}, []string{"server-cpu", "load-cpu", "last-p50", "last-max"}},
		{"each", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Each(ctx, t, bench.EachConfig{Connections: smokeConns, EventBytes: eventBytes, Rounds: 2})
		}, []string{"server-cpu", "load-cpu", "answered-p50", "last-p50", "last-max"}},
		{"mixed", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Mixed(ctx, t, bench.MixedConfig{
				Connections: smokeConns, Rate: 500, AllEvery: 2, Churn: 100, For: 500 * time.Millisecond, EventBytes: eventBytes,
			})
		}, []string{"server-cpu", "load-cpu", "p50", "p99", "max", "all-p50", "all-p99", "all-max", "delivered", "churned", "rss-before", "rss-after"}},
		{"storm beside", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.StormBeside(ctx, t, bench.StormBesideConfig{
				Connections: 10, Rate: 500, EventBytes: eventBytes, Quiet: 100 * time.Millisecond, Storm: smokeConns, Dialers: 8,
				Process: []string{os.Args[0]}, Environ: []string{stormVariable + "=1"},
			})
		}, []string{"quiet-p50", "quiet-p99", "quiet-max", "storm-p50", "storm-p99", "storm-max", "connects"}},
		{"bystanders", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Bystanders(ctx, t, bench.BystandersConfig{
				Connections: 10, Rate: 500, EventBytes: eventBytes, Part: 100 * time.Millisecond, Rounds: 2,
				Trouble: func(ctx context.Context) error { <-ctx.Done(); return nil },
			})
		}, []string{"quiet-p50", "quiet-p99", "trouble-p50", "trouble-p99"}},
		{"load", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Load(ctx, t, bench.LoadConfig{
				Connections: smokeConns, Gateways: 15, Rate: 500, For: 300 * time.Millisecond, EventBytes: eventBytes, Publishers: 4, Dialers: 8,
			})
		}, []string{"server-cpu", "load-cpu", "connected", "connects", "published", "delivered", "answered", "received", "p50", "p90", "p99", "p99.9", "max"}},
		{"load to all", func(ctx context.Context, t bench.Target) (bench.Result, error) {
			return bench.Load(ctx, t, bench.LoadConfig{
				Connections: smokeConns, Gateways: 15, Rate: 100, For: 300 * time.Millisecond, EventBytes: eventBytes, All: true, Publishers: 4, Dialers: 8,
			})
		}, []string{"published", "delivered"}},
	}
	for _, transport := range []string{"wss", "ws"} {
		for _, tt := range tests {
			t.Run(tt.name+" "+transport, func(t *testing.T) {
				t.Parallel() // they wait more than they compute
				withServer(t, transport == "ws", 2*smokeConns, nil, func(target bench.Target) {
					r, err := tt.work(t.Context(), target)
					if err != nil {
						t.Fatal(err)
					}
					checkResult(t, r, transport, tt.want)
				})
			})
		}
	}
}

func checkResult(t *testing.T, r bench.Result, transport string, figures []string) {
	t.Helper()
	if r.Transport != transport {
		t.Errorf("transport %q; want %q", r.Transport, transport)
	}
	for _, name := range figures {
		if v, ok := r.Figure(name); !ok || v <= 0 {
			t.Errorf("%s is %v, %t; want more than 0", name, v, ok)
		}
	}
}

// All gateways resume after the server was killed, with the missed events in memory and in the log.
func TestResume(t *testing.T) {
	for _, from := range sources {
		t.Run(from.name, func(t *testing.T) {
			start, kill := restarts(t, from.flags, 2*smokeConns, nil)
			target, err := start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer kill()
			r, err := bench.Resume(t.Context(), target, bench.ResumeConfig{
				Connections: smokeConns, Missed: 20, Beside: 10, Rate: 500, EventBytes: eventBytes, Dialers: 8,
				Restart: start, Process: []string{os.Args[0]}, Environ: []string{stormVariable + "=1"},
			})
			if err != nil {
				t.Fatal(err)
			}
			checkResult(t, r, "wss", []string{"fresh-acked", "fresh-live", "resumed-acked", "resumed-live", "resumed-rss-peak", "resumed-others-p99"})
		})
	}
}

func TestIdleConnectionHasOneDescriptor(t *testing.T) {
	withServer(t, false, 2*smokeConns, nil, func(target bench.Target) {
		r, err := bench.Idle(t.Context(), target, bench.IdleConfig{Connections: smokeConns, Settle: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := r.Figure("descriptors"); v != 1 {
			t.Errorf("%v descriptors per connection; want 1", v)
		}
	})
}

// Compressed events take fewer bytes on the wire. Clients that do not request compression get the
// same bytes as without it.
func TestBytesOnTheWire(t *testing.T) {
	const bytes = 2048
	for _, plaintext := range []bool{true, false} {
		wire := func(deflate bool, flags ...string) (bytesEach float64) {
			serverFlags = flags
			defer func() { serverFlags = nil }()
			withServer(t, plaintext, 2*smokeConns, nil, func(target bench.Target) {
				target.Deflate = deflate
				r, err := bench.FanOut(t.Context(), target, bench.FanOutConfig{Connections: smokeConns, Events: 20, EventBytes: bytes})
				if err != nil {
					t.Fatal(err)
				}
				bytesEach, _ = r.Figure("wire")
			})
			return bytesEach
		}
		off, unwanted, deflate := wire(false), wire(false, "--compression"), wire(true, "--compression")
		t.Logf("plaintext=%v: %.0f bytes per delivery without compression, %.0f with compression that is not requested, %.0f with", plaintext, off, unwanted, deflate)
		if off < bytes || off > 1.2*bytes || unwanted < off-10 || unwanted > off+10 || deflate < 200 || deflate > off/2 {
			t.Errorf("plaintext=%v: %.0f, %.0f, %.0f bytes per delivery", plaintext, off, unwanted, deflate)
		}
	}
}

// A workload fails if the server refuses connections.
func TestWorkloadFailsWithServer(t *testing.T) {
	withServer(t, true, smokeConns-1, nil, func(target bench.Target) {
		_, err := bench.Storm(t.Context(), target, bench.StormConfig{Connections: smokeConns, Dialers: 8})
		if err == nil {
			t.Errorf("%d connections to a server that allows %d: no error", smokeConns, smokeConns-1)
		}
	})
}
