// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"os"
	"time"
)

// A meter measures the CPU time of server and load since it was started. Without the server's
// process it reports nothing.
type meter struct {
	server, load   Process
	server0, load0 time.Duration
	start          time.Duration
}

func startMeter(t Target) (m meter, err error) {
	m = meter{server: t.Process, load: Process(os.Getpid()), start: now()}
	m.server0, m.load0, err = m.read()
	return m, err
}

func (m meter) read() (server, load time.Duration, err error) {
	if m.server != 0 {
		if server, err = m.server.CPU(); err != nil {
			return 0, 0, err
		}
	}
	load, err = m.load.CPU()
	return server, load, err
}

// addTo adds the CPU time per unit, of n units, to a result: that of the server, and that of the
// load, which shows whether the load was the bottleneck.
func (m meter) addTo(r *Result, unit string, n int) error {
	return m.add(r, "µs/"+unit, func(used time.Duration) float64 { return micros(used) / float64(n) })
}

// addRateTo adds the CPU time per second of the run.
func (m meter) addRateTo(r *Result) error {
	took := now() - m.start
	return m.add(r, "ms/s", func(used time.Duration) float64 { return millis(used) / took.Seconds() })
}

func (m meter) add(r *Result, unit string, value func(time.Duration) float64) error {
	server, load, err := m.read()
	if err != nil {
		return err
	}
	if m.server != 0 {
		r.add("server-cpu", unit, value(server-m.server0))
	}
	r.add("load-cpu", unit, value(load-m.load0))
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
