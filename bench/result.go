// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
	"time"
)

// A Result is the measurement of one run of a workload.
type Result struct {
	Workload    string   `json:"workload"`
	Transport   string   `json:"transport"` // "wss" or "ws"
	Connections int      `json:"connections"`
	Figures     []Figure `json:"figures"`
}

// A Figure is one measured value. README.md describes each figure.
type Figure struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
}

func (r *Result) add(name, unit string, value float64) {
	r.Figures = append(r.Figures, Figure{name, unit, value})
}

// addMillis adds a duration in milliseconds.
func (r *Result) addMillis(name string, d time.Duration) {
	r.add(name, "ms", millis(d))
}

// addLatency adds quantiles of a histogram. The prefix distinguishes several histograms in one
// result.
func (r *Result) addLatency(prefix string, h *histogram) {
	r.addMillis(prefix+"p50", h.quantile(0.5))
	r.addMillis(prefix+"p99", h.quantile(0.99))
	r.addMillis(prefix+"max", h.max())
}

// Figure returns the value of a figure, and whether it exists.
func (r *Result) Figure(name string) (value float64, ok bool) {
	i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Name == name })
	if i < 0 {
		return 0, false
	}
	return r.Figures[i].Value, true
}

// quantile returns the value below which a fraction q of sorted lies. sorted must not be empty.
func quantile[T any](sorted []T, q float64) T {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
