// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"
)

// A sample is what a gauge showed at a time.
type sample struct {
	at    time.Duration // since the start
	value float64
}

// A trend is what samples of a gauge have in common.
type trend struct {
	slope             float64 // an hour, by least squares
	least, most, mean float64
	span              time.Duration // from the first sample to the last
}

// newTrend returns the trend of samples, of which there is at least one.
func newTrend(samples []sample) trend {
	first, last := samples[0], samples[len(samples)-1]
	t := trend{least: first.value, most: first.value, span: last.at - first.at}
	n := float64(len(samples))
	var meanAt float64 // in hours, as the slope is by the hour
	for _, s := range samples {
		meanAt += s.at.Hours() / n
		t.mean += s.value / n
		t.least, t.most = min(t.least, s.value), max(t.most, s.value)
	}
	var covariance, variance float64
	for _, s := range samples {
		d := s.at.Hours() - meanAt
		covariance += d * (s.value - t.mean)
		variance += d * d
	}
	if variance > 0 {
		t.slope = covariance / variance
	}
	return t
}

// growth returns by how much the gauge has risen over the span, were it straight.
func (t trend) growth() float64 { return t.slope * t.span.Hours() }

// maxGrowth is how much a gauge may rise over the time that is measured, as a part
// of its mean. It is generous: what leaks in a soak of hours passes it, and a
// collection that came early or late in one of minutes does not.
const maxGrowth = 0.25

func (t trend) flat() bool { return t.growth() <= maxGrowth*t.mean }

func (t trend) String() string {
	return fmt.Sprintf("%+9.1f an hour, %+7.1f in %v; from %.1f to %.1f, mean %.1f", t.slope, t.growth(), t.span.Round(time.Second), t.least, t.most, t.mean)
}
