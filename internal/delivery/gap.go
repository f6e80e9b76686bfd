// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import "slices"

// maxStarts bounds the starts that are kept of one gateway. They go when a span
// reaches them, so there are several only while connections begin and receive nothing.
const maxStarts = 8

// Gap returns what a gateway that resumes after place has received without it being
// known here: a node that was killed did not write it down. The second result reports
// whether there is anything.
//
// Whoever resumes after place has every event since one of the gateway's connections
// began, and no span reaches place. The newest start before place is the only one
// that holds for all of the gateway's connections, so the gap begins there, or at the
// end of the last span if that is later. Of a gateway of which nothing is known there
// is no gap.
func (b *Book) Gap(gateway string, place uint64) (Progress, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	t := b.tracks[gateway]
	if t == nil || t.reaches(place) {
		return Progress{}, false
	}
	if len(t.starts) == maxStarts && place < t.starts[0] {
		return Progress{}, false // the start before it may have been forgotten
	}
	var from uint64
	known := false
	if i := reaching(t.spans, place); i > 0 {
		from, known = t.spans[i-1].to, true
	}
	if i, found := slices.BinarySearch(t.starts, place); found || i > 0 {
		if !found {
			i--
		}
		from, known = max(from, t.starts[i]), true
	}
	return Progress{gateway, from, place}, known && from < place
}

// Knows reports whether a connection of the gateway is known to have begun at place,
// or to have every event around it: then a start at place adds nothing.
func (b *Book) Knows(gateway string, place uint64) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	t := b.tracks[gateway]
	return t != nil && (t.reaches(place) || has(t.starts, place))
}

// reaches reports whether place is inside a span, or at one of its ends.
func (t *track) reaches(place uint64) bool {
	i := reaching(t.spans, place)
	return i < len(t.spans) && t.spans[i].from <= place
}

// start adds the place where a connection began.
func (t *track) start(place uint64) {
	i, found := slices.BinarySearch(t.starts, place)
	if found || t.reaches(place) {
		return
	}
	t.starts = slices.Insert(t.starts, i, place)
	if len(t.starts) > maxStarts {
		t.starts = slices.Delete(t.starts, 0, 1)
	}
}

// dropStarts drops the starts that a span has reached.
func (t *track) dropStarts(s span) {
	if len(t.starts) > 0 {
		t.starts = slices.DeleteFunc(t.starts, func(place uint64) bool { return s.from <= place && place <= s.to })
	}
}

// forgetStarts forgets the starts before floor.
func (t *track) forgetStarts(floor uint64) {
	i, _ := slices.BinarySearch(t.starts, floor)
	t.starts = slices.Delete(t.starts, 0, i)
}
