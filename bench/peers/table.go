// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatecast/gatecast/bench"
)

// print prints a table for each workload and transport, and the ratios of gatecast to the lower
// bounds.
func (r *runner) print(w io.Writer, c bench.Conditions) {
	pinned := "not pinned"
	if c.Pinned {
		pinned = "server and load pinned apart"
	}
	fmt.Fprintf(w, "%s; %s; commit %s; %s\n", c.Machine, c.Go, c.Commit, pinned)
	for _, work := range r.workloads {
		for _, transport := range r.transports {
			fmt.Fprintf(w, "\n## %s, %s, %s\n\n", work, transport, r.scale(work.name, transport))
			writeTable(w, r.table(work, transport))
		}
	}
	if lines := r.references(); len(lines) > 0 {
		fmt.Fprintf(w, "\n## gatecast ÷ lower bounds\n\n%s\n", strings.Join(lines, "\n"))
	}
}

// scale returns the size of a workload as text.
func (r *runner) scale(work, transport string) string {
	connections := 0
	for _, rec := range r.of(work, transport, baseline) {
		connections = max(connections, rec.Connections)
	}
	return fmt.Sprintf("%d connections, median of %d", connections, r.runs)
}

// of returns the records of one subject that have a result.
func (r *runner) of(work, transport, server string) (list []record) {
	for _, rec := range r.records {
		if rec.work == work && rec.over == transport && rec.Server == server && rec.err == nil {
			list = append(list, rec)
		}
	}
	return list
}

// table returns the rows of a table, with the column heads first.
func (r *runner) table(work workload, transport string) [][]string {
	head := []string{"server"}
	for _, c := range work.columns {
		head = append(head, c.figure+" "+c.unit)
		if !c.count {
			head = append(head, "÷ gatecast")
		}
	}
	rows := [][]string{head}
	for _, s := range r.subjects {
		if !s.takes(work.name, transport) {
			continue
		}
		row := []string{s.name}
		for _, c := range work.columns {
			row = append(row, show(r.figures(work.name, transport, s.name, c.figure)))
			if !c.count {
				row = append(row, show(r.ratios(work.name, transport, c.figure, s.name, baseline)))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// figures returns a figure of each run that has it.
func (r *runner) figures(work, transport, server, figure string) (values []float64) {
	for _, rec := range r.of(work, transport, server) {
		if v, ok := rec.Figure(figure); ok {
			values = append(values, v)
		}
	}
	return values
}

// ratios divides a figure of one subject by that of another in the same run.
func (r *runner) ratios(work, transport, figure, server, by string) (values []float64) {
	for _, rec := range r.of(work, transport, server) {
		for _, divisor := range r.of(work, transport, by) {
			v, ok := rec.Figure(figure)
			d, ok1 := divisor.Figure(figure)
			if ok && ok1 && d > 0 && rec.Run == divisor.Run {
				values = append(values, v/d)
			}
		}
	}
	return values
}

// references compares gatecast with the lower bounds.
func (r *runner) references() (lines []string) {
	for _, ref := range []struct{ work, transport, figure, by, what string }{
		{"fanout", "ws", serverCPU, floor, "CPU a delivery ÷ one send(2) each"},
		{"burst", "ws", serverCPU, floor, "CPU a delivery, 40 at once ÷ one send(2) each"},
		{"storm", "wss", serverCPU, handshake, "CPU a connect ÷ crypto/tls's handshake"},
		{"publish", "wss", "received", jetStream, "events/s ÷ JetStream alone"},
		{"publish", "ws", "received", jetStream, "events/s ÷ JetStream alone"},
	} {
		if v := r.ratios(ref.work, ref.transport, ref.figure, baseline, ref.by); len(v) > 0 {
			lines = append(lines, fmt.Sprintf("- %s, %s: %s: %s", ref.work, ref.transport, ref.what, show(v)))
		}
	}
	return lines
}

// show returns the median of values, and the minimum and maximum if there are several.
func show(values []float64) string {
	if len(values) == 0 {
		return "–"
	}
	slices.Sort(values)
	text := number(values[len(values)/2])
	if len(values) > 1 {
		text += " (" + number(values[0]) + " to " + number(values[len(values)-1]) + ")"
	}
	return text
}

// number formats a value with at least three digits.
func number(v float64) string {
	decimals := 0
	switch size := max(v, -v); {
	case size < 10:
		decimals = 2
	case size < 100:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// writeTable writes rows as a Markdown table with aligned columns.
func writeTable(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range rows {
		writeRow(w, row, widths)
		if n == 0 {
			rule := make([]string, len(widths))
			for i, width := range widths {
				rule[i] = strings.Repeat("-", width)
			}
			writeRow(w, rule, widths)
		}
	}
}

// writeRow aligns names to the left and figures to the right.
func writeRow(w io.Writer, row []string, widths []int) {
	for i, cell := range row {
		width := widths[i]
		if i == 0 {
			width = -width
		}
		fmt.Fprintf(w, "| %*s ", width, cell)
	}
	fmt.Fprintln(w, "|")
}
