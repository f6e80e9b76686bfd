// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import "context"

// StormConfig configures [Storm].
type StormConfig struct {
	Connections int // each of another gateway
	Dialers     int // connections made at the same time
}

// Storm connects as fast as possible, as gateways do after a restart of the server.
func Storm(ctx context.Context, t Target, c StormConfig) (Result, error) {
	r := Result{Workload: "storm", Transport: t.Transport(), Connections: c.Connections}
	if c.Connections < 1 || c.Dialers < 1 {
		return r, errNoSize
	}
	l, err := prepare(ctx, t, c.Connections)
	if err != nil {
		return r, err
	}
	defer l.close()
	before, err := resetMemory(t.Process)
	if err != nil {
		return r, err
	}
	m, err := startMeter(t)
	if err != nil {
		return r, err
	}
	start := now()
	if err := l.connect(ctx, c.Connections, c.Dialers); err != nil {
		return r, err
	}
	took := now() - start
	if err := m.addTo(&r, "connect", c.Connections); err != nil {
		return r, err
	}
	r.add("connects", "connects/s", float64(c.Connections)/took.Seconds())
	if t.Process != 0 {
		after, err := t.Process.Memory()
		if err != nil {
			return r, err
		}
		r.add("rss-before", "MB", float64(before.RSS)/(1<<20))
		r.add("rss-peak", "MB", float64(after.Peak)/(1<<20))
	}
	return r, l.fleet.healthy()
}

// resetMemory resets the peak and returns the current memory. Without a process it does nothing.
func resetMemory(p Process) (Memory, error) {
	if p == 0 {
		return Memory{}, nil
	}
	if err := p.ResetPeak(); err != nil {
		return Memory{}, err
	}
	return p.Memory()
}
