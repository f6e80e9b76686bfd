// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// gauges are the values that must not grow, in the order of a reading.
var gauges = [...]string{"RSS, MB", "live heap, MB", "goroutines", "descriptors"}

// A reading is the values of all gauges at one time.
type reading [len(gauges)]float64

const mb = 1 << 20

// read reads the gauges of the server.
func (s *soak) read(ctx context.Context) (r reading, err error) {
	values, err := s.platform.Metrics(ctx)
	if err != nil {
		return r, err
	}
	memory, err := s.target.Process.Memory()
	if err != nil {
		return r, err
	}
	descriptors, err := s.target.Process.Descriptors()
	// The garbage collector sets its next goal to the live heap after the last collection plus GOGC
	// percent.
	live := values["go_memstats_next_gc_bytes"] / (1 + values["go_gc_gogc_percent"]/100)
	return reading{float64(memory.RSS) / mb, live / mb, values["go_goroutines"], float64(descriptors)}, err
}

// A record is the samples of each gauge since the warm-up.
type record struct {
	samples [len(gauges)][]sample
	latest  reading
}

func (r *record) add(at time.Duration, values reading) {
	for i, v := range values {
		r.samples[i] = append(r.samples[i], sample{at, v})
	}
}

// span returns the time between the first and the last sample.
func (r *record) span() time.Duration {
	list := r.samples[0]
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].at - list[0].at
}

// write writes the trends, and returns the names of the gauges that grow.
func (r *record) write(w io.Writer) (rising []string) {
	for i, name := range gauges {
		if len(r.samples[i]) == 0 {
			continue
		}
		t := newTrend(r.samples[i])
		verdict := "flat"
		if !t.flat() {
			verdict = "RISING"
			rising = append(rising, name)
		}
		fmt.Fprintf(w, "  %-14s %v: %s\n", name, t, verdict)
	}
	return rising
}
