// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import "container/heap"

// An expiryHeap has the valid grants that expire, the earliest first. A grant has its
// index in the heap, so that a grant that ends for another reason can be removed: its
// expiry can be years away.
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

// add adds a grant, unless it never expires.
func (h *expiryHeap) add(g *Grant) {
	if !g.expiresAt.IsZero() {
		heap.Push(h, g)
	}
}

// drop removes a grant, if it is in the heap.
func (h *expiryHeap) drop(g *Grant) {
	if g.heapIndex >= 0 {
		heap.Remove(h, g.heapIndex)
	}
}
