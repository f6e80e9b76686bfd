// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
)

// options are the command line flags.
type options struct {
	subjects   []subject // gatecast is the first one
	workloads  []workload
	transports []string
	sizes      sizes
	runs       int
	pin        bool
	jsonl      string
}

func parseOptions(args []string) (o options, err error) {
	flags := flag.NewFlagSet("peers", flag.ExitOnError)
	only := flags.String("only", names(subjects), "what is compared with gatecast")
	works := flags.String("workloads", names(workloads), "which workloads are run")
	over := flags.String("transports", "wss,ws", "what gateways speak")
	conns := flags.Int("conns", 10_000, "connections; burst and storm take half")
	flags.IntVar(&o.runs, "runs", 1, "how often all is run; figures are medians")
	flags.BoolVar(&o.pin, "pin", true, "keep the server on one processor and the load on the others")
	flags.StringVar(&o.jsonl, "jsonl", "", "append each result to this file, as a line of JSON")
	_ = flags.Parse(args) // exits on an error
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag: see -help", flags.Arg(0))
	}
	if *conns < 2 || o.runs < 1 {
		return o, errors.New("-conns and -runs: want at least 2 and 1")
	}
	o.sizes = fullSizes(*conns)
	if o.subjects, err = pick("only", subjects, *only); err != nil {
		return o, err
	}
	if !slices.ContainsFunc(o.subjects, func(s subject) bool { return s.name == baseline }) {
		o.subjects = append([]subject{subjects[0]}, o.subjects...)
	}
	if o.workloads, err = pick("workloads", workloads, *works); err != nil {
		return o, err
	}
	o.transports, err = pick("transports", []string{"wss", "ws"}, *over)
	return o, err
}

// pick returns the elements of all whose names are in a comma-separated list, in the order of all.
func pick[T any](flagName string, all []T, list string) (picked []T, err error) {
	wanted := strings.Split(list, ",")
	for _, one := range all {
		if i := slices.Index(wanted, fmt.Sprint(one)); i >= 0 {
			picked = append(picked, one)
			wanted = slices.Delete(wanted, i, i+1)
		}
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("-%s: %q is not one of %s", flagName, wanted[0], names(all))
	}
	return picked, nil
}

// names returns the names, separated by commas.
func names[T any](all []T) string {
	list := make([]string, len(all))
	for i, one := range all {
		list[i] = fmt.Sprint(one)
	}
	return strings.Join(list, ",")
}
