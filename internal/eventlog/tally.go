// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import "sync/atomic"

// A tally is a sequence of one branch that only grows. It is safe for concurrent use.
type tally struct{ v atomic.Uint64 } // the branch in the top bits, then the sequence

// branchShift leaves 48 bits for the sequence.
const branchShift = 48

// set begins a branch.
func (t *tally) set(branch, seq uint64) { t.v.Store(branch<<branchShift | seq) }

// advance raises the sequence, if the branch is still the current one.
func (t *tally) advance(branch, seq uint64) {
	for next := branch<<branchShift | seq; ; {
		v := t.v.Load()
		if v>>branchShift != next>>branchShift || v >= next || t.v.CompareAndSwap(v, next) {
			return
		}
	}
}

// load returns the sequence, of whatever branch is current.
func (t *tally) load() uint64 { return t.v.Load() & (1<<branchShift - 1) }

// of returns the sequence, or 0 if it belongs to another branch.
func (t *tally) of(branch uint64) uint64 {
	if v := t.v.Load(); v>>branchShift == branch<<branchShift>>branchShift {
		return v & (1<<branchShift - 1)
	}
	return 0
}
