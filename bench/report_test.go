// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func someReport() *Report {
	run := func(transport string, conns int, latency, rate float64) Result {
		r := Result{Workload: "w", Transport: transport, Connections: conns}
		r.add("p50", "ms", latency)
		r.add("rate", "events/s", rate)
		return r
	}
	return &Report{
		Conditions: Conditions{Machine: "m", Go: "go1", Commit: "abc", Pinned: true},
		Results: []Result{
			run("wss", 5, 0.5, 3000), run("ws", 5, 0.4, 2000), run("wss", 1, 7, 7),
			run("wss", 5, 12.25, 1000), run("wss", 5, 0.75, 1234.5),
		},
	}
}

func TestReportTable(t *testing.T) {
	var b bytes.Buffer
	someReport().WriteTable(&b)
	want := `m; go1; commit abc; server and load pinned apart

w wss, 5 connections, 3 runs
  p50                  0.75 ms           0.50 to 12.2
  rate                 1234 events/s     1000 to 3000

w ws, 5 connections, 1 run
  p50                  0.40 ms
  rate                 2000 events/s

w wss, 1 connection, 1 run
  p50                     7 ms
  rate                    7 events/s
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestReportJSON(t *testing.T) {
	var b bytes.Buffer
	if err := someReport().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines; want one a result", len(lines))
	}
	want := `{"workload":"w","transport":"wss","connections":5,"figures":[{"name":"p50","unit":"ms","value":0.5},{"name":"rate","unit":"events/s","value":3000}],"machine":"m","go":"go1","commit":"abc","pinned":true}`
	if diff := cmp.Diff(want, lines[0]); diff != "" {
		t.Error(diff)
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

func TestQuantile(t *testing.T) {
	ten := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, tt := range []struct {
		name   string
		sorted []int
		q      float64
		want   int
	}{
		{"of one", []int{7}, 0.99, 7},
		{"median of three", []int{1, 5, 9}, 0.5, 5},
		{"median of ten", ten, 0.5, 6},
		{"least", ten, 0, 1},
		{"p99 of ten", ten, 0.99, 10},
		{"all", ten, 1, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := quantile(tt.sorted, tt.q); got != tt.want {
				t.Errorf("%d; want %d", got, tt.want)
			}
		})
	}
}
