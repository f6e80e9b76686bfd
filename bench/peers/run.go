// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/gatecast/gatecast/bench"
)

// loadGOGC makes garbage collections of the load rare, as in bench.
const loadGOGC = 800

// A record is the result of one measurement.
type record struct {
	Server string `json:"server"`
	Run    int    `json:"run"` // from 1
	work   string
	over   string
	err    error // why there is no result, or nil
	bench.Result
}

// A runner measures subjects.
type runner struct {
	options
	self     string         // path of this program
	gatecast string         // path of gatecast's binary
	folder   string         // temporary folder, removed at the end
	cpus     *bench.CPUSet  // processors of the servers; nil: not pinned
	lines    io.WriteCloser // JSON output; nil: none
	records  []record
}

// run measures everything and prints it.
func run(ctx context.Context, o options) (err error) {
	r := &runner{options: o}
	if r.folder, err = os.MkdirTemp("", "gatecast-peers-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.folder)
	if r.self, err = os.Executable(); err != nil {
		return err
	}
	if r.gatecast, err = bench.Build(ctx, "../..", r.folder); err != nil {
		return fmt.Errorf("%w: run this program in its own folder", err)
	}
	if o.jsonl != "" {
		if r.lines, err = os.OpenFile(o.jsonl, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
			return fmt.Errorf("-jsonl: %w", err)
		}
		defer func() { err = errors.Join(err, r.lines.Close()) }()
	}
	if err := r.pinLoad(); err != nil {
		return err
	}
	conditions := bench.CurrentConditions(o.pin)
	if err := r.all(ctx, conditions); err != nil {
		return err
	}
	r.print(os.Stdout, conditions)
	return r.failure()
}

func (r *runner) pinLoad() error {
	debug.SetGCPercent(loadGOGC)
	if !r.pin {
		return nil
	}
	server, load, err := bench.Split()
	if err != nil {
		return fmt.Errorf("%w (-pin=false)", err)
	}
	r.cpus = &server
	return bench.Pin(load)
}

// all measures all subjects within a workload, one after the other, so that compared figures are
// from the same minutes. If one fails, the others continue.
func (r *runner) all(ctx context.Context, conditions bench.Conditions) error {
	for i := range r.runs {
		for _, w := range r.workloads {
			for _, transport := range r.transports {
				for _, s := range r.subjects {
					if !s.takes(w.name, transport) {
						continue
					}
					if err := r.one(ctx, s, w, transport, i+1, conditions); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// one measures one subject once. An error ends the program.
func (r *runner) one(ctx context.Context, s subject, w workload, transport string, run int, conditions bench.Conditions) error {
	result, err := r.measure(ctx, s, w, transport == "ws")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	rec := record{s.name, run, w.name, transport, err, result}
	r.records = append(r.records, rec)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%d %s %s %s: %v\n", run, w, transport, s, err)
		return nil
	}
	fmt.Fprintf(os.Stderr, "%d %s %s %s:", run, w, transport, s)
	for _, c := range w.columns {
		if v, ok := rec.Figure(c.figure); ok {
			fmt.Fprintf(os.Stderr, " %s %s %s", c.figure, number(v), c.unit)
		}
	}
	fmt.Fprintln(os.Stderr)
	if r.lines == nil {
		return nil
	}
	return json.NewEncoder(r.lines).Encode(struct {
		record
		bench.Conditions
	}{rec, conditions})
}

// failure returns an error with the number of failed measurements.
func (r *runner) failure() error {
	failed := 0
	for _, rec := range r.records {
		if rec.err != nil {
			failed++
		}
	}
	if failed == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d measurements failed: see the errors above", failed, len(r.records))
}
