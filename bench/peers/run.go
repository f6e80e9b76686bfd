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

// loadGOGC lets the load collect its garbage seldom, as in bench.
const loadGOGC = 800

// A record is a result, and whose it is.
type record struct {
	Server string `json:"server"`
	Run    int    `json:"run"` // from 1
	work   string
	over   string
	err    error // nil, or why there is no result
	bench.Result
}

// A runner measures subjects.
type runner struct {
	options
	self     string         // this program
	gatecast string         // the binary
	folder   string         // for everything, removed at the end
	cpus     *bench.CPUSet  // the servers'; nil: not pinned
	lines    io.WriteCloser // for JSON; nil: none
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
		return fmt.Errorf("%w; run it in its own folder", err)
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

// all measures subject after subject within a workload, so that what is compared
// is of the same minutes. A subject that fails does not stop the others.
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

// one measures one subject once. An error is one that ends everything.
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

// failure says how much has failed.
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
	return fmt.Errorf("%d of %d measurements failed; what went wrong is above", failed, len(r.records))
}
