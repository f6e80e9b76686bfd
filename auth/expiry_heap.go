// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import "container/heap"

// An expiryHeap is the standing grants that will expire, the earliest first. A
// grant knows its heapIndex in it, so that one that ends otherwise does not stay
// until a day that may be years away.
type expiryHeap []*Grant

// Len, Less, Swap, Push and Pop implement [heap.Interface].

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].expiresAt.Before(h[j].expiresAt) }

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

func (h *expiryHeap) Push(x any) {
	g := x.(*Grant)
	g.heapIndex = len(*h)
	*h = append(*h, g)
}

func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	g := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	g.heapIndex = -1
	return g
}

// add puts a grant in; one that never expires has no heapIndex.
func (h *expiryHeap) add(g *Grant) {
	if !g.expiresAt.IsZero() {
		heap.Push(h, g)
	}
}

// drop takes a grant out, if it is there.
func (h *expiryHeap) drop(g *Grant) {
	if g.heapIndex >= 0 {
		heap.Remove(h, g.heapIndex)
	}
}
