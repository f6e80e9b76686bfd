// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Report collects results measured under the same conditions.
type Report struct {
	Conditions Conditions
	Results    []Result
}

// WriteJSON writes one line per result, with the conditions.
func (p *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	for _, r := range p.Results {
		line := struct {
			Result
			Conditions
		}{r, p.Conditions}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// WriteTable writes one line per figure: the median over the runs of its workload, and the minimum
// and maximum if there are several runs.
func (p *Report) WriteTable(w io.Writer) {
	c := p.Conditions
	pinned := "not pinned"
	if c.Pinned {
		pinned = "server and load pinned apart"
	}
	fmt.Fprintf(w, "%s; %s; commit %s; %s\n", c.Machine, c.Go, c.Commit, pinned)
	for _, s := range p.series() {
		fmt.Fprintln(w)
		s.writeTable(w)
	}
}

// WriteTable writes one line per figure.
func (r *Result) WriteTable(w io.Writer) { series{[]Result{*r}}.writeTable(w) }

// A series is the runs of one workload.
type series struct{ runs []Result }

// series returns the runs by workload, in the order of their first run.
func (p *Report) series() (list []series) {
	for _, r := range p.Results {
		i := slices.IndexFunc(list, func(s series) bool { return s.runs[0].sameAs(r) })
		if i < 0 {
			i = len(list)
			list = append(list, series{})
		}
		list[i].runs = append(list[i].runs, r)
	}
	return list
}

// sameAs reports whether two results are runs of the same workload.
func (r *Result) sameAs(o Result) bool {
	return r.Workload == o.Workload && r.Transport == o.Transport && r.Connections == o.Connections
}

func (s series) writeTable(w io.Writer) {
	fmt.Fprintln(w, s.title())
	for i, f := range s.runs[0].Figures {
		line := fmt.Sprintf("  %-14s %10s %-12s %s", f.Name, number(s.median(i)), f.Unit, s.extremes(i))
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

func (s series) title() string {
	r := s.runs[0]
	return fmt.Sprintf("%s %s, %s, %s", r.Workload, r.Transport, plural(r.Connections, "connection"), plural(len(s.runs), "run"))
}

// sorted returns the values of figure i in ascending order.
func (s series) sorted(i int) []float64 {
	values := make([]float64, len(s.runs))
	for k, r := range s.runs {
		values[k] = r.Figures[i].Value
	}
	slices.Sort(values)
	return values
}

func (s series) median(i int) float64 { return quantile(s.sorted(i), 0.5) }

func (s series) extremes(i int) string {
	v := s.sorted(i)
	if len(v) < 2 {
		return ""
	}
	return number(v[0]) + " to " + number(v[len(v)-1])
}

// number formats a value with at least three digits; integers have no decimals.
func number(v float64) string {
	decimals := 0
	switch size := max(v, -v); {
	case v == math.Trunc(v):
	case size < 10:
		decimals = 2
	case size < 100:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// plural returns "1 run" or "2 runs".
func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
