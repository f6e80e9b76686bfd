// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package outcome

// Gap returns the part of the log ahead of a place of which it is not known that a
// gateway has it, and whether there is one between that and what it is known to
// have. A gateway that resumes at a place says that it has everything up to
// there: what a killed node did not get to write down is known again by that. Of
// a gateway of which nothing is known there is no gap.
func (b *Book) Gap(gateway string, place uint64) (Progress, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	t := b.tracks[gateway]
	if t == nil {
		return Progress{}, false
	}
	i := reaching(t.spans, place)
	if i == 0 || i < len(t.spans) && t.spans[i].from < place {
		return Progress{}, false
	}
	return Progress{gateway, t.spans[i-1].to, place}, true
}
