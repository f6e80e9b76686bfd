// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tracker

import "slices"

// maxStarts bounds the starts that are stored per gateway. A start is dropped when a span
// reaches it, so there are several only while connections begin and receive nothing.
const maxStarts = 8

// Gap returns what a gateway that resumes after seq must have received although no
// update says so: a node that was killed did not write the update. ok reports
// whether there is such a gap.
//
// A gateway that resumes after seq has every event since one of its connections
// began, and no span reaches seq. Only the newest start before seq holds for all
// connections of the gateway. So the gap begins there, or at the end of the
// last span if that is later. A gateway without any state has no gap.
func (t *Tracker) Gap(gatewayID string, seq uint64) (gap Progress, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	g := t.gateways[gatewayID]
	if g == nil || g.reaches(seq) {
		return Progress{}, false
	}
	if len(g.starts) == maxStarts && seq < g.starts[0] {
		return Progress{}, false // the start before it may have been dropped
	}
	var from uint64
	known := false
	if i := firstReaching(g.spans, seq); i > 0 {
		from, known = g.spans[i-1].to, true
	}
	if i, found := slices.BinarySearch(g.starts, seq); found || i > 0 {
		if !found {
			i--
		}
		from, known = max(from, g.starts[i]), true
	}
	return Progress{gatewayID, from, seq}, known && from < seq
}

// HasStart reports whether a start of the gateway at seq adds nothing: it is stored
// already, or a span contains or ends at seq.
func (t *Tracker) HasStart(gatewayID string, seq uint64) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	g := t.gateways[gatewayID]
	return g != nil && (g.reaches(seq) || has(g.starts, seq))
}

// reaches reports whether seq is inside a span or at one of its ends.
func (g *gateway) reaches(seq uint64) bool {
	i := firstReaching(g.spans, seq)
	return i < len(g.spans) && g.spans[i].from <= seq
}

// start adds the position where a connection began.
func (g *gateway) start(seq uint64) {
	i, found := slices.BinarySearch(g.starts, seq)
	if found || g.reaches(seq) {
		return
	}
	g.starts = slices.Insert(g.starts, i, seq)
	if len(g.starts) > maxStarts {
		g.starts = slices.Delete(g.starts, 0, 1)
	}
}

// dropStarts drops the starts that a span has reached.
func (g *gateway) dropStarts(s span) {
	if len(g.starts) > 0 {
		g.starts = slices.DeleteFunc(g.starts, func(seq uint64) bool { return s.from <= seq && seq <= s.to })
	}
}

// forgetStarts drops the starts before floor.
func (g *gateway) forgetStarts(floor uint64) {
	i, _ := slices.BinarySearch(g.starts, floor)
	g.starts = slices.Delete(g.starts, 0, i)
}
