// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"slices"
	"sync/atomic"
)

// An Inbox is a queue from many goroutines to one. No call ever waits. The zero
// Inbox is empty and ready.
//
// It is a stack that its reader takes whole and turns around. Taking everything
// in one swap has no half-linked state, as a linked queue of many producers
// has: what was pushed before a Take began is in what it returns.
//
// An Inbox has no bound of its own; its producers must have one.
type Inbox[T any] struct {
	top atomic.Pointer[inboxNode[T]]
}

// An inboxNode is one value of the stack.
type inboxNode[T any] struct {
	below *inboxNode[T]
	value T
}

// Push adds v. It reports whether the inbox was empty: then, and only then, its
// reader may need waking. Any goroutine may call it.
func (q *Inbox[T]) Push(v T) (wasEmpty bool) {
	n := &inboxNode[T]{value: v}
	for {
		n.below = q.top.Load()
		if q.top.CompareAndSwap(n.below, n) {
			return n.below == nil
		}
	}
}

// Take moves everything pushed so far to the end of dst, oldest first. One
// goroutine at a time may call it.
func (q *Inbox[T]) Take(dst []T) []T {
	start := len(dst)
	for n := q.top.Swap(nil); n != nil; n = n.below {
		dst = append(dst, n.value)
	}
	slices.Reverse(dst[start:])
	return dst
}
