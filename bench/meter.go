// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"os"
	"time"
)

// A meter tells the processor time that server and load have used since it was
// started.
type meter struct {
	server, load   Process
	server0, load0 time.Duration
}

func startMeter(t Target) (m meter, err error) {
	m = meter{server: t.Process, load: Process(os.Getpid())}
	if m.server0, err = m.server.CPU(); err != nil {
		return meter{}, err
	}
	m.load0, err = m.load.CPU()
	return m, err
}

// addTo adds the processor time of one of n, as the unit calls it, to a result:
// the server's, and the load's, which tells whether the load held the server up.
func (m meter) addTo(r *Result, unit string, n int) error {
	server, err := m.server.CPU()
	if err != nil {
		return err
	}
	load, err := m.load.CPU()
	if err != nil {
		return err
	}
	r.add("server-cpu", "µs/"+unit, micros(server-m.server0)/float64(n))
	r.add("load-cpu", "µs/"+unit, micros(load-m.load0)/float64(n))
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
