// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/bench"
)

// measured returns a record of a fan-out without TLS.
func measured(server string, run int, cpu float64) record {
	return record{Server: server, Run: run, work: "fanout", over: "ws", Result: bench.Result{
		Connections: 10, Figures: []bench.Figure{{Name: serverCPU, Value: cpu}},
	}}
}

func TestPrint(t *testing.T) {
	o, err := parseOptions([]string{"-only", "gws,floor,nbio", "-workloads", "fanout", "-transports", "ws", "-runs", "3"})
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{options: o, records: []record{
		measured(baseline, 1, 10), measured("gws", 1, 20), measured(floor, 1, 8),
		measured(baseline, 2, 20), measured("gws", 2, 20), measured(floor, 2, 8),
		measured(baseline, 3, 40), measured("gws", 3, 20), measured(floor, 3, 8),
		{Server: "nbio", Run: 1, work: "fanout", over: "ws", err: errors.New("lost")},
	}}
	var out strings.Builder
	r.print(&out, bench.Conditions{Machine: "machine", Go: "go", Commit: "commit", Pinned: true})
	const want = `machine; go; commit commit; server and load pinned apart

## fanout, ws, 10 connections, median of 3

| server   | server-cpu µs/delivery |          ÷ gatecast | last-p50 ms | ÷ gatecast |
| -------- | ---------------------- | ------------------- | ----------- | ---------- |
| gatecast |    20.0 (10.0 to 40.0) | 1.00 (1.00 to 1.00) |           – |          – |
| gws      |    20.0 (20.0 to 20.0) | 1.00 (0.50 to 2.00) |           – |          – |
| nbio     |                      – |                   – |           – |          – |
| floor    |    8.00 (8.00 to 8.00) | 0.40 (0.20 to 0.80) |           – |          – |

## gatecast ÷ lower bounds

- fanout, ws: CPU a delivery ÷ one send(2) each: 2.50 (1.25 to 5.00)
`
	if out.String() != want {
		t.Errorf("it prints\n%s\nwant\n%s", out.String(), want)
	}
	if r.failure() == nil {
		t.Error("no error after a failed measurement")
	}
}

func TestParseOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string // subjects, or part of the error
	}{
		{"gatecast is always there, and first", []string{"-only", "floor,gws"}, "gatecast,gws,floor"},
		{"everything", nil, names(subjects)},
		{"an unknown library", []string{"-only", "gws,netpoll"}, `-only: "netpoll" is not one of`},
		{"an unknown workload", []string{"-workloads", "soak"}, `-workloads: "soak" is not one of`},
		{"an unknown transport", []string{"-transports", "tcp"}, `-transports: "tcp" is not one of`},
		{"half a connection", []string{"-conns", "1"}, "-conns"},
		{"a word too many", []string{"gws"}, `"gws" is not a flag`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parseOptions(tt.args)
			got := names(o.subjects)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("%q; want %q", got, tt.want)
			}
		})
	}
}
