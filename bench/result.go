// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
	"time"
)

// A Result is what a workload has measured.
type Result struct {
	Workload    string   `json:"workload"`
	Transport   string   `json:"transport"` // "wss" or "ws"
	Connections int      `json:"connections"`
	Figures     []Figure `json:"figures"`
}

// A Figure is one measured value. README.md says what each means.
type Figure struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
}

func (r *Result) add(name, unit string, value float64) {
	r.Figures = append(r.Figures, Figure{name, unit, value})
}

// addMillis adds a time.
func (r *Result) addMillis(name string, d time.Duration) {
	r.add(name, "ms", millis(d))
}

// addLatency adds the quantiles of times, with a prefix to tell them from others
// in the same result.
func (r *Result) addLatency(prefix string, h *histogram) {
	r.addMillis(prefix+"p50", h.quantile(0.5))
	r.addMillis(prefix+"p99", h.quantile(0.99))
	r.addMillis(prefix+"max", h.max())
}

// Figure returns a figure's value, and whether there is one of that name.
func (r *Result) Figure(name string) (value float64, ok bool) {
	i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Name == name })
	if i < 0 {
		return 0, false
	}
	return r.Figures[i].Value, true
}

// quantile returns the value below which a part q of sorted lies. There must be
// one.
func quantile[T any](sorted []T, q float64) T {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
