// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import "sort"

// A footprint identifies a message that this node has seen: its sequence, and when the stream
// stored it, in nanoseconds. In another history the message with that sequence has another
// time.
type footprint struct {
	seq  uint64
	time int64
}

// Footprints are those of a stream, in order: all of the newest maxFootprints/2, and fewer and
// fewer of the older ones. With them a node finds out where two histories part.
type footprints []footprint

const maxFootprints = 8192

// add adds the newest message.
func (f *footprints) add(p footprint) {
	if n := len(*f); n > 0 && p.seq <= (*f)[n-1].seq {
		return
	}
	*f = append(*f, p)
	if len(*f) < maxFootprints {
		return
	}
	thin := (*f)[:0] // removes every second one of the older half
	for i, p := range *f {
		if i >= maxFootprints/2 || i%2 == 0 {
			thin = append(thin, p)
		}
	}
	*f = thin
}

// removeAfter removes those after a sequence.
func (f *footprints) removeAfter(seq uint64) {
	*f = (*f)[:sort.Search(len(*f), func(i int) bool { return (*f)[i].seq > seq })]
}

// latest returns the newest one; its sequence is 0 if there is none.
func (f footprints) latest() footprint {
	if len(f) == 0 {
		return footprint{}
	}
	return f[len(f)-1]
}
