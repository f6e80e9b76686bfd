// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// nodeStats is the part of a node's stats that top shows. The JSON names are the same,
// without regard to case.
type nodeStats struct {
	GatewayConnections struct {
		TotalActive int64
		Connections []connStats
	}
	EventDelivery struct {
		TotalEventsSent   uint64
		FailedDeliveries  uint64
		LastFailureTime   time.Time
		LastFailureReason string
	}
	Node struct {
		ID, Version string
		StartedAt   time.Time
		Shards      []shardStats
	}
}

// shardStats are the stats of one event loop.
type shardStats struct {
	Connections, Gateways, Queued int64
	Delivered                     uint64
}

// connStats are the stats of one connection.
type connStats struct {
	GatewayID, RemoteAddr, Status string
	ConnectedAt, LastHeartbeat    time.Time
	EventsSent                    uint64
	QueuedBytes                   int64
	Shard                         int
}

// A topView is what top shows. Its lines depend on nothing else, so tests need no node.
type topView struct {
	// Of the last successful poll, and of the one before it.
	stats    *nodeStats
	at       time.Time
	before   *nodeStats // for rates; nil: none, or the node has restarted since
	beforeAt time.Time
	polls    int

	// Of the last poll that listed all connections.
	busiest   []connStats // the busiest first
	busiestAt time.Time

	// Of the last poll, also if it failed.
	now      time.Time
	notReady string // why the node is not ready; empty: it is ready
	failure  string // why the poll failed; empty: it did not
}

// add adds the stats of a poll. With full they have all connections, else only some.
//
// Rates need two polls of the same run of a node: its totals begin at 0 when it restarts.
func (v *topView) add(s *nodeStats, full bool, now time.Time) {
	v.before, v.beforeAt = v.stats, v.at
	v.stats, v.at, v.now = s, now, now
	v.polls++
	if b := v.before; b != nil && (b.Node.ID != s.Node.ID || !b.Node.StartedAt.Equal(s.Node.StartedAt)) {
		v.before = nil
	}
	if !full {
		return
	}
	v.busiest, v.busiestAt = s.GatewayConnections.Connections, now
	// Gateway and address make the order stable between polls.
	slices.SortFunc(v.busiest, func(a, b connStats) int {
		return cmp.Or(cmp.Compare(b.QueuedBytes, a.QueuedBytes), cmp.Compare(b.EventsSent, a.EventsSent),
			strings.Compare(a.GatewayID, b.GatewayID), strings.Compare(a.RemoteAddr, b.RemoteAddr))
	})
}

// busiestPrinted is how many connections are shown when no terminal bounds them.
const busiestPrinted = 20

// lines returns the view as lines that fit a terminal's size. Width and height 0 are for a
// file, which has no bounds.
//
// A third of the height is for shards, since a large machine has many; the busiest
// connections have the rest.
func (v *topView) lines(width, height int) []string {
	lines := v.head()
	shards := v.shardTable()
	lines = append(append(lines, ""), clipRows(shards, height/3)...)
	room := busiestPrinted
	if height > 0 {
		room = max(height-len(lines)-2, 0) // an empty line and the title
	}
	lines = append(lines, "")
	lines = append(lines, v.busiestTable(room)...)
	if height > 0 && len(lines) > height {
		lines = lines[:height]
	}
	for i, l := range lines {
		lines[i] = fit(l, width)
	}
	return lines
}

// clipRows returns at most most rows of a table. The last one counts those left out.
func clipRows(table []string, most int) []string {
	if most == 0 || len(table) <= most {
		return table
	}
	most = max(most, 2)
	return append(slices.Clone(table[:most-1]), fmt.Sprintf("… and %d more", len(table)-most+1))
}

// head returns the lines about the node as a whole.
func (v *topView) head() []string {
	s := v.stats
	state := "Ready"
	switch {
	case v.failure != "":
		state = "UNREACHABLE for " + age(v.at, v.now) + ": " + v.failure
	case v.notReady != "":
		state = "NOT READY: " + v.notReady
	}
	var gateways, queued int64
	for _, sh := range s.Node.Shards {
		gateways += sh.Gateways
		queued += sh.Queued
	}
	d := s.EventDelivery
	failure := "none"
	if !d.LastFailureTime.IsZero() {
		failure = fmt.Sprintf("%s ago, %s", age(d.LastFailureTime, v.now), d.LastFailureReason)
	}
	delivered := v.rate(func(s *nodeStats) uint64 { return s.EventDelivery.TotalEventsSent })
	failed := v.rate(func(s *nodeStats) uint64 { return s.EventDelivery.FailedDeliveries })
	return []string{
		fmt.Sprintf("%s UTC  gatecast %s, version %s, up for %s", v.now.UTC().Format(time.TimeOnly), s.Node.ID, s.Node.Version, age(s.Node.StartedAt, v.now)),
		state,
		fmt.Sprintf("%s connections of %s gateways, %s queued", count(s.GatewayConnections.TotalActive), count(gateways), sizeOf(queued)),
		fmt.Sprintf("%s delivered, %s/s; %s failed, %s/s; last failure: %s", count(d.TotalEventsSent), delivered, count(d.FailedDeliveries), failed, failure),
	}
}

// rate returns the growth of a total per second since the poll before, "–" if unknown.
func (v *topView) rate(total func(*nodeStats) uint64) string {
	if v.before == nil {
		return "–"
	}
	r := float64(total(v.stats)-total(v.before)) / v.at.Sub(v.beforeAt).Seconds()
	if r > 0 && r < 10 {
		return strconv.FormatFloat(r, 'f', 1, 64)
	}
	return count(int64(r + 0.5))
}

// shardTable returns a heading and a row per shard.
func (v *topView) shardTable() []string {
	rows := [][]string{{"SHARD", "CONNECTIONS", "GATEWAYS", "QUEUED", "DELIVERED", "DELIVERED/s"}}
	for i, s := range v.stats.Node.Shards {
		rate := v.rate(func(s *nodeStats) uint64 { return s.Node.Shards[i].Delivered })
		rows = append(rows, []string{strconv.Itoa(i), count(s.Connections), count(s.Gateways), sizeOf(s.Queued), count(s.Delivered), rate})
	}
	return table(rows, 0)
}

// busiestTable returns a title, a heading and a row for each of up to n connections.
func (v *topView) busiestTable(n int) []string {
	title := "Busiest connections, by queued bytes, then events sent"
	if v.busiestAt.Before(v.now) {
		title += ", " + age(v.busiestAt, v.now) + " ago"
	}
	rows := [][]string{{"GATEWAY", "ADDRESS", "STATUS", "QUEUED", "SENT", "CONNECTED", "HEARD", "SHARD"}}
	for _, c := range v.busiest[:min(n, len(v.busiest))] {
		rows = append(rows, []string{
			c.GatewayID, c.RemoteAddr, c.Status, sizeOf(c.QueuedBytes), count(c.EventsSent),
			age(c.ConnectedAt, v.busiestAt), age(c.LastHeartbeat, v.busiestAt) + " ago", strconv.Itoa(c.Shard),
		})
	}
	return append([]string{title}, table(rows, 3)...)
}

// table aligns the cells of rows: the first left columns to the left, the others, which are
// numbers, to the right.
// Widths are counted in code points, so combined or wide characters misalign a row.
func table(rows [][]string, left int) []string {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(rows))
	for n, r := range rows {
		for i, cell := range r {
			if i < left {
				r[i] = fmt.Sprintf("%-*s", widths[i], cell)
			} else {
				r[i] = fmt.Sprintf("%*s", widths[i], cell)
			}
		}
		lines[n] = strings.Join(r, "  ")
	}
	return lines
}

// fit cuts a line to a width, unless that is 0. It removes characters that control a
// terminal: names of gateways and errors come from others.
func fit(line string, width int) string {
	line = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, line)
	if width > 0 && utf8.RuneCountInString(line) > width {
		return string([]rune(line)[:max(width-1, 0)]) + "…"
	}
	return line
}

// count formats a number with commas between thousands.
func count[N int64 | uint64](n N) string {
	digits := fmt.Sprint(n)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// sizeOf formats a number of bytes with a unit.
func sizeOf(n int64) string {
	f := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if f < 1024 {
			if unit == "B" {
				return fmt.Sprintf("%d B", n)
			}
			return fmt.Sprintf("%.1f %s", f, unit)
		}
		f /= 1024
	}
	return fmt.Sprintf("%.1f GiB", f)
}

// age formats the time between since and now. A negative time, from clocks that differ, is 0.
func age(since, now time.Time) string {
	d := max(now.Sub(since), 0)
	switch {
	case since.IsZero():
		return "–"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}
