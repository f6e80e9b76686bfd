// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"time"
)

// A sample is the value of a gauge at one time.
type sample struct {
	at    time.Duration // since the start
	value float64
}

// A trend is the linear regression of a gauge's samples.
type trend struct {
	slope             float64 // per hour, by least squares
	err               float64 // standard error of the slope
	least, most, mean float64
	span              time.Duration // between the first and the last sample
}

// parts is the number of intervals over which samples are averaged for the standard error of the
// slope. A gauge varies slowly, so neighbouring samples are not independent.
const parts = 10

// newTrend returns the trend of at least one sample.
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

// regress returns the slope per hour of samples, by least squares, and its standard error. Both are
// 0 for too few samples.
func regress(samples []sample) (slope, err float64) {
	n := float64(len(samples))
	var at, value float64 // mean values
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

// maxGrowth is the allowed growth over the measured time, as a fraction of the mean. It is
// generous, but a leak in a soak of hours exceeds it.
const maxGrowth = 0.25

// flat reports whether the growth is within maxGrowth. It subtracts twice the standard error from
// the slope, because caches grow and shrink for minutes.
func (t trend) flat() bool { return (t.slope-2*t.err)*t.span.Hours() <= maxGrowth*t.mean }

func (t trend) String() string {
	return fmt.Sprintf("%+9.1f an hour (± %.1f), %+7.1f in %v; from %.1f to %.1f, mean %.1f",
		t.slope, t.err, t.slope*t.span.Hours(), t.span.Round(time.Second), t.least, t.most, t.mean)
}
