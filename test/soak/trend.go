// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
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
	err               float64 // of the slope: its standard error
	least, most, mean float64
	span              time.Duration // from the first sample to the last
}

// parts is in how many parts of equal time samples are averaged for the error of
// the slope. A gauge swings over many samples, which therefore tell little more
// than one.
const parts = 10

// newTrend returns the trend of samples, of which there is at least one.
func newTrend(samples []sample) trend {
	first, last := samples[0], samples[len(samples)-1]
	t := trend{least: first.value, most: first.value, span: last.at - first.at}
	for _, s := range samples {
		t.mean += s.value / float64(len(samples))
		t.least, t.most = min(t.least, s.value), max(t.most, s.value)
	}
	t.slope, _ = regress(samples)
	if len(samples) < parts {
		return t
	}
	averages := make([]sample, parts)
	for i := range averages {
		part := samples[i*len(samples)/parts : (i+1)*len(samples)/parts]
		for _, s := range part {
			averages[i].at += s.at / time.Duration(len(part))
			averages[i].value += s.value / float64(len(part))
		}
	}
	_, t.err = regress(averages)
	return t
}

// regress returns the slope of samples an hour, by least squares, and its standard
// error; 0 where there are too few to tell.
func regress(samples []sample) (slope, err float64) {
	n := float64(len(samples))
	var at, value float64 // means
	for _, s := range samples {
		at += s.at.Hours() / n
		value += s.value / n
	}
	var covariance, variance, residue float64
	for _, s := range samples {
		d := s.at.Hours() - at
		covariance += d * (s.value - value)
		variance += d * d
	}
	if variance == 0 {
		return 0, 0
	}
	slope = covariance / variance
	for _, s := range samples {
		r := s.value - value - slope*(s.at.Hours()-at)
		residue += r * r
	}
	if n > 2 {
		err = math.Sqrt(residue / (n - 2) / variance)
	}
	return slope, err
}

// maxGrowth is how much a gauge may rise over the time that is measured, as a part
// of its mean. It is generous: what leaks in a soak of hours passes it.
const maxGrowth = 0.25

// flat reports whether the gauge may have risen by no more than that, with the slope
// less by twice its error: caches come and go for minutes.
func (t trend) flat() bool { return (t.slope-2*t.err)*t.span.Hours() <= maxGrowth*t.mean }

func (t trend) String() string {
	return fmt.Sprintf("%+9.1f an hour (± %.1f), %+7.1f in %v; from %.1f to %.1f, mean %.1f",
		t.slope, t.err, t.slope*t.span.Hours(), t.span.Round(time.Second), t.least, t.most, t.mean)
}
