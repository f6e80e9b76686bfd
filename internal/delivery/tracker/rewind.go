// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tracker

import (
	"math"
	"slices"
)

// Rewind forgets everything about events after seq. It is called when the log's history
// went back to seq: later sequences then belong to other events.
func (t *Tracker) Rewind(seq uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if seq >= t.newest {
		return
	}
	t.newest, t.floor, t.size = seq, min(t.floor, seq), 0
	for id, g := range t.gateways {
		g.rewind(seq)
		t.size += g.size()
		if g.size() == 0 {
			delete(t.gateways, id)
		}
	}
}

// rewind forgets everything after seq. A span that crosses seq ends there.
func (g *gateway) rewind(seq uint64) {
	g.spans = slices.DeleteFunc(g.spans, func(s span) bool { return s.from >= seq })
	if n := len(g.spans); n > 0 {
		g.spans[n-1].to = min(g.spans[n-1].to, seq)
	}
	g.starts, g.acked, g.failed = upTo(g.starts, seq), upTo(g.acked, seq), upTo(g.failed, seq)
}

// upTo returns the members of a set that are not greater than seq.
func upTo(set []uint64, seq uint64) []uint64 {
	i, found := slices.BinarySearch(set, seq)
	if found {
		i++
	}
	return set[:i]
}

// UpTo returns the part of the updates that concerns events up to and including seq.
// The result shares nothing with u unless seq is the largest number.
func (u Updates) UpTo(seq uint64) Updates {
	if seq == math.MaxUint64 {
		return u
	}
	part := Updates{Floor: min(u.Floor, seq)}
	for _, p := range u.Progress {
		if p.To = min(p.To, seq); p.From <= p.To {
			part.Progress = append(part.Progress, p)
		}
	}
	for _, a := range u.Acks {
		if a.Seq <= seq {
			part.Acks = append(part.Acks, a)
		}
	}
	return part
}
