// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"math"
	"slices"
)

// Rewind forgets what is known of events after a sequence: the log's history went back to
// there, and what comes next are other events.
func (b *Book) Rewind(seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if seq >= b.newest {
		return
	}
	b.newest, b.floor, b.size = seq, min(b.floor, seq), 0
	for gateway, t := range b.tracks {
		t.rewind(seq)
		b.size += t.size()
		if t.size() == 0 {
			delete(b.tracks, gateway)
		}
	}
}

func (t *track) rewind(seq uint64) {
	t.spans = slices.DeleteFunc(t.spans, func(s span) bool { return s.from >= seq })
	if n := len(t.spans); n > 0 {
		t.spans[n-1].to = min(t.spans[n-1].to, seq)
	}
	t.starts, t.acked, t.failed = upTo(t.starts, seq), upTo(t.acked, seq), upTo(t.failed, seq)
}

// upTo returns what of a set is not above seq.
func upTo(set []uint64, seq uint64) []uint64 {
	i, found := slices.BinarySearch(set, seq)
	if found {
		i++
	}
	return set[:i]
}

// UpTo returns what the facts say of events up to a sequence.
func (f Facts) UpTo(seq uint64) Facts {
	if seq == math.MaxUint64 {
		return f
	}
	part := Facts{Floor: min(f.Floor, seq)}
	for _, p := range f.Progress {
		if p.To = min(p.To, seq); p.From <= p.To {
			part.Progress = append(part.Progress, p)
		}
	}
	for _, a := range f.Answers {
		if a.Seq <= seq {
			part.Answers = append(part.Answers, a)
		}
	}
	return part
}
