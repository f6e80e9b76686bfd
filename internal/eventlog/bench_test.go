// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/event"
)

// Each benchmark runs beside one of NATS alone, so that one run shows what this package adds.

// measureCPU reports the CPU time of an operation, which says more than its duration on a busy
// machine. Per is the number of operations of an iteration.
func measureCPU(b *testing.B, per int) (report func()) {
	before := cpuTime(b)
	return func() {
		b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N*per), "cpu-ns/op")
	}
}

// benchEvents returns events for 2,000 gateways, with bodies of some 200 bytes.
func benchEvents() ([]*event.Event, [][]byte) {
	events, bodies := make([]*event.Event, 2000), make([][]byte, 2000)
	for i := range events {
		ev, _ := newEvent(i)
		ev.Target.GatewayIDs = []string{fmt.Sprintf("018f4e2a-0000-7000-8000-%012d", i)}
		events[i], bodies[i] = ev, ev.AppendBody(nil)
	}
	return events, bodies
}

func BenchmarkAppend(b *testing.B) {
	events, bodies := benchEvents()
	ctx := context.Background()
	ours := func(l *testLog) func(i int) error {
		return func(i int) error {
			_, err := l.Append(ctx, events[i%2000], bodies[i%2000])
			return err
		}
	}
	raw := func(l *testLog) func(i int) error {
		return func(i int) error {
			subject, _, _ := address(events[i%2000])
			_, err := l.js.Publish(ctx, subject, bodies[i%2000])
			return err
		}
	}
	for _, c := range []struct {
		name  string
		cfg   config
		appnd func(*testLog) func(i int) error
	}{
		{"file", config{}, ours},
		{"file/raw", config{}, raw},
		{"memory", config{InMemory: true, RetentionBytes: 256 << 20}, ours},
		{"always", config{SyncAlways: true}, ours},
		{"always/raw", config{SyncAlways: true}, raw},
	} {
		b.Run(c.name+"/callers=1", func(b *testing.B) {
			appnd := c.appnd(open(b, c.cfg))
			b.ReportAllocs()
			defer measureCPU(b, 1)()
			for i := 0; b.Loop(); i++ {
				if err := appnd(i); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/callers=64", func(b *testing.B) {
			appnd := c.appnd(open(b, c.cfg))
			var next atomic.Int64
			var callers sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			defer measureCPU(b, 1)()
			for range 64 {
				callers.Go(func() {
					for i := int(next.Add(1)); i <= b.N; i = int(next.Add(1)) {
						if err := appnd(i); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			callers.Wait()
		})
	}
}

func BenchmarkAppendAsync(b *testing.B) {
	events, bodies := benchEvents()
	b.Run("ours", func(b *testing.B) {
		l := open(b, config{})
		b.ReportAllocs()
		b.ResetTimer()
		defer measureCPU(b, 1)()
		var last *Pending
		for i := range b.N {
			p, err := l.AppendAsync(events[i%2000], bodies[i%2000])
			if err != nil {
				b.Fatal(err)
			}
			last = p
		}
		if _, err := last.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("raw", func(b *testing.B) {
		l := open(b, config{})
		js, err := jetstream.New(l.conn, jetstream.WithPublishAsyncMaxPending(windowEvents))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.ResetTimer()
		defer measureCPU(b, 1)()
		for i := range b.N {
			subject, _, _ := address(events[i%2000])
			msg := &nats.Msg{Subject: subject, Data: bodies[i%2000]}
			if _, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(appendTimeout)); err != nil {
				b.Fatal(err)
			}
		}
		<-js.PublishAsyncComplete()
	})
}

// BenchmarkTailLatency measures, for one event at a time, how long after the return and after
// the start of its Append a tail gets it.
func BenchmarkTailLatency(b *testing.B) {
	l := open(b, config{})
	events, bodies := benchEvents()
	seen := make(chan time.Time, 1)
	stop := tailing(b, l, func(Entry) { seen <- time.Now() })
	var afterAppend, inAll []time.Duration
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		if _, err := l.Append(context.Background(), events[i%2000], bodies[i%2000]); err != nil {
			b.Fatal(err)
		}
		returned := time.Now()
		at := <-seen
		afterAppend, inAll = append(afterAppend, at.Sub(returned)), append(inAll, at.Sub(start))
	}
	stop()
	report := func(ds []time.Duration, what string) {
		slices.Sort(ds)
		b.ReportMetric(float64(ds[len(ds)/2].Nanoseconds())/1e3, "µs-p50-"+what)
		b.ReportMetric(float64(ds[len(ds)*99/100].Nanoseconds())/1e3, "µs-p99-"+what)
	}
	report(afterAppend, "after-append")
	report(inAll, "in-all")
}

// tailing runs a tail from the newest event until stop is called.
func tailing(b *testing.B, l *testLog, f func(Entry)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	last := l.Last()
	var tail sync.WaitGroup
	tail.Go(func() { _ = l.Tail(ctx, last, f) })
	return func() { cancel(); tail.Wait() }
}

// BenchmarkAppendAndTail appends as fast as possible while a tail reads, as a node does under
// load.
func BenchmarkAppendAndTail(b *testing.B) {
	l := open(b, config{})
	events, bodies := benchEvents()
	done := make(chan struct{})
	n := 0
	stop := tailing(b, l, func(Entry) {
		if n++; n == b.N {
			close(done)
		}
	})
	defer stop()
	b.ReportAllocs()
	b.ResetTimer()
	defer measureCPU(b, 1)()
	for i := range b.N {
		if _, err := l.AppendAsync(events[i%2000], bodies[i%2000]); err != nil {
			b.Fatal(err)
		}
	}
	<-done
}

// BenchmarkReplay reads old events with a tail, and with the consumers of NATS that a tail
// could use.
func BenchmarkReplay(b *testing.B) {
	const n = 300_000
	l := open(b, config{})
	events, bodies := benchEvents()
	for i := range n {
		if _, err := l.AppendAsync(events[i%2000], bodies[i%2000]); err != nil {
			b.Fatal(err)
		}
	}
	add(b, l, n) // everything before it is answered
	run := func(name string, read func(got func())) {
		b.Run(name, func(b *testing.B) {
			defer measureCPU(b, n)()
			for b.Loop() {
				left, done := n, make(chan struct{})
				read(func() {
					if left--; left == 0 {
						close(done)
					}
				})
				<-done
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
	run("tail", func(got func()) {
		ctx, cancel := context.WithCancel(context.Background())
		count := 0
		_ = l.Tail(ctx, event.Cursor{}, func(Entry) {
			if count++; count <= n {
				got()
			}
			if count == n {
				cancel()
			}
		})
	})
	run("raw/messages", func(got func()) {
		c, err := l.js.OrderedConsumer(context.Background(), streamName, jetstream.OrderedConsumerConfig{})
		if err != nil {
			b.Fatal(err)
		}
		it, err := c.Messages(jetstream.PullMaxMessages(tailEvents))
		if err != nil {
			b.Fatal(err)
		}
		defer it.Stop()
		for range n {
			if _, err := it.Next(); err != nil {
				b.Fatal(err)
			}
			got()
		}
	})
	run("raw/fetch", func(got func()) {
		c, err := l.js.OrderedConsumer(context.Background(), streamName, jetstream.OrderedConsumerConfig{})
		if err != nil {
			b.Fatal(err)
		}
		for left := n; left > 0; {
			batch, err := c.Fetch(min(left, tailEvents))
			if err != nil {
				b.Fatal(err)
			}
			for range batch.Messages() {
				left--
				got()
			}
		}
	})
	run("raw/push", func(got func()) {
		js, err := l.conn.JetStream()
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		left := n
		sub, err := js.Subscribe("", func(*nats.Msg) {
			if left > 0 {
				left--
				got()
			}
			if left == 0 {
				cancel()
			}
		}, nats.BindStream(streamName), nats.OrderedConsumer())
		if err != nil {
			b.Fatal(err)
		}
		<-ctx.Done()
		_ = sub.Unsubscribe()
	})
}
