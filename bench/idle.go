// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"time"
)

// IdleConfig configures [Idle].
type IdleConfig struct {
	Connections int // each of another gateway
	// Settle is how long the server's memory must stay within 1% before it is measured. Idle waits
	// at most six times as long.
	Settle time.Duration
}

// Idle measures the cost of a connection that transfers nothing but pings.
func Idle(ctx context.Context, t Target, c IdleConfig) (Result, error) {
	r := Result{Workload: "idle", Transport: t.Transport(), Connections: c.Connections}
	if c.Connections < 1 {
		return r, errNoSize
	}
	if t.Process == 0 {
		return r, errors.New("cannot measure memory: Target.Process is 0; the server must run on this machine")
	}
	l, err := prepare(ctx, t, c.Connections)
	if err != nil {
		return r, err
	}
	defer l.close()
	before, err := settled(ctx, l, c.Settle)
	if err != nil {
		return r, err
	}
	if err := l.connect(ctx, c.Connections, defaultDialers); err != nil {
		return r, err
	}
	after, err := settled(ctx, l, c.Settle)
	if err != nil {
		return r, err
	}
	n := float64(c.Connections)
	r.add("rss", "KB/conn", float64(after.memory.RSS-before.memory.RSS)/1024/n)
	r.add("heap", "KB/conn", (after.heap-before.heap)/1024/n)
	r.add("descriptors", "/conn", float64(after.descriptors-before.descriptors)/n)
	r.add("goroutines", "more", after.goroutines-before.goroutines)
	r.add("threads", "in-all", float64(after.threads))
	r.add("rss-before", "MB", float64(before.memory.RSS)/(1<<20))
	r.add("rss-after", "MB", float64(after.memory.RSS)/(1<<20))
	r.add("rss-peak", "MB", float64(after.memory.Peak)/(1<<20))
	return r, l.fleet.healthy()
}

// A footprint is what a process uses.
type footprint struct {
	memory      Memory
	threads     int
	descriptors int
	goroutines  float64
	heap        float64 // bytes
}

// settled waits until the server's memory no longer changes, and returns what the server uses then.
func settled(ctx context.Context, l *load, settle time.Duration) (f footprint, err error) {
	l.admin.close() // otherwise the goroutines of its idle connections would count
	if f.memory, err = settledMemory(ctx, l.Process, settle); err != nil {
		return f, err
	}
	if f.threads, err = l.Process.Threads(); err != nil {
		return f, err
	}
	if f.goroutines, err = l.admin.metric(ctx, "go_goroutines"); err != nil {
		return f, err
	}
	if f.heap, err = l.admin.metric(ctx, "go_memstats_heap_alloc_bytes"); err != nil {
		return f, err
	}
	l.admin.close() // likewise its descriptors
	f.descriptors, err = steadyDescriptors(ctx, l.Process)
	return f, err
}

// memoryPoll is the interval at which the memory of the server is read.
const memoryPoll = 100 * time.Millisecond

func settledMemory(ctx context.Context, p Process, settle time.Duration) (Memory, error) {
	poll := time.NewTicker(min(memoryPoll, max(settle/10, time.Millisecond)))
	defer poll.Stop()
	deadline := time.Now().Add(6 * settle)
	var held Memory
	var since time.Time
	for {
		m, err := p.Memory()
		at := time.Now()
		switch {
		case err != nil:
			return Memory{}, err
		case within(m.RSS, held.RSS, 0.01) && at.Sub(since) >= settle, at.After(deadline):
			return m, nil
		case !within(m.RSS, held.RSS, 0.01):
			held, since = m, at
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return Memory{}, ctx.Err()
		}
	}
}

// within reports whether a differs from b by at most a fraction part of b.
func within(a, b int64, part float64) bool {
	return max(a-b, b-a) <= int64(part*float64(b))
}

// steadyDescriptors returns the number of descriptors of a process after two equal readings,
// because the process may still be closing those of the last requests.
func steadyDescriptors(ctx context.Context, p Process) (int, error) {
	poll := time.NewTicker(memoryPoll)
	defer poll.Stop()
	for last := -1; ; {
		n, err := p.Descriptors()
		if err != nil || n == last {
			return n, err
		}
		last = n
		select {
		case <-poll.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
