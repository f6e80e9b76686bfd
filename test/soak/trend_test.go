// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"testing"
	"time"
)

// line returns one sample per second of a gauge that grows by slope per hour and swings by swing.
func line(n int, start, slope, swing float64) (samples []sample) {
	for i := range n {
		at := time.Hour + time.Duration(i)*time.Second
		value := start + slope*float64(i)/3600
		if i%2 == 0 {
			value += swing
		} else {
			value -= swing
		}
		samples = append(samples, sample{at, value})
	}
	return samples
}

func TestTrend(t *testing.T) {
	for name, test := range map[string]struct {
		samples []sample
		slope   float64
		flat    bool
	}{
		"one sample":         {line(1, 50, 0, 0), 0, true},
		"constant":           {line(3600, 50, 0, 0), 0, true},
		"falling":            {line(3600, 50, -20, 0), -20, true},
		"slowly rising":      {line(3600, 50, 10, 0), 10, true},
		"rising":             {line(3600, 50, 20, 0), 20, false},
		"swinging":           {line(3601, 50, 0, 30), 0, true},
		"swinging, rising":   {line(3601, 50, 40, 30), 40, false},
		"rising for minutes": {line(360, 50, 20, 0), 20, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := newTrend(test.samples)
			if math.Abs(got.slope-test.slope) > 0.1 {
				t.Errorf("slope %v, want %v", got.slope, test.slope)
			}
			if got.flat() != test.flat {
				t.Errorf("flat is %v for %v", got.flat(), got)
			}
		})
	}
}

// A gauge that swings over minutes has a slope over any short time, but with a standard error that
// is too large to be judged as rising.
func TestTrendError(t *testing.T) {
	wave := func(slope float64) (samples []sample) {
		for i, s := range line(420, 70, slope, 0) {
			samples = append(samples, sample{s.at, s.value + 30*math.Sin(2*math.Pi*(float64(i)/240+7./12))})
		}
		return samples
	}
	swings, leaks := newTrend(wave(0)), newTrend(wave(2000))
	if swings.slope*swings.span.Hours() < maxGrowth*swings.mean || swings.err == 0 {
		t.Errorf("%v: want a steep slope", swings)
	}
	if !swings.flat() {
		t.Errorf("%v: want it flat", swings)
	}
	if leaks.flat() {
		t.Errorf("%v: want it rising", leaks)
	}
}

func TestTrendRange(t *testing.T) {
	got := newTrend([]sample{{time.Minute, 4}, {2 * time.Minute, 1}, {4 * time.Minute, 7}})
	if got.least != 1 || got.most != 7 || got.mean != 4 || got.span != 3*time.Minute {
		t.Errorf("got %+v", got)
	}
}
