// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import "sort"

// A footprint is a message that this node has seen: its sequence, and when the stream
// stored it, to the nanosecond. A message that has the sequence in another history has
// another time.
type footprint struct {
	seq  uint64
	time int64
}

// Footprints are messages of a stream that this node has seen, in order: all of the
// newest maxFootprints/2 it was shown, and ever fewer of those before. With them it
// finds out where two histories part.
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
	thin := (*f)[:0] // every second of the older half goes
	for i, p := range *f {
		if i >= maxFootprints/2 || i%2 == 0 {
			thin = append(thin, p)
		}
	}
	*f = thin
}

// forgetAfter forgets what came after a sequence.
func (f *footprints) forgetAfter(seq uint64) {
	*f = (*f)[:sort.Search(len(*f), func(i int) bool { return (*f)[i].seq > seq })]
}

// latest returns the newest one; its sequence is 0 when there is none.
func (f footprints) latest() footprint {
	if len(f) == 0 {
		return footprint{}
	}
	return f[len(f)-1]
}
