// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"iter"
	"slices"
	"strings"
)

// maxBlock is how many ids stand in one block. A block is moved as a whole for
// an insertion, and the blocks' list is searched for every operation.
const maxBlock = 512

// An idList is a set of ids in order. It is a sorted slice cut into blocks, so
// that an insertion into 100,000 ids moves some kilobytes and not megabytes.
type idList struct {
	// No block is empty, and every id of a block is less than every id of the
	// next.
	blocks [][]string
}

// block returns the first block whose last id is not less than id.
func (l *idList) block(id string) int {
	b, _ := slices.BinarySearchFunc(l.blocks, id, func(block []string, id string) int {
		return strings.Compare(block[len(block)-1], id)
	})
	return b
}

// insert adds an id, unless it is there.
func (l *idList) insert(id string) {
	if len(l.blocks) == 0 {
		l.blocks = [][]string{{id}}
		return
	}
	b := min(l.block(id), len(l.blocks)-1)
	i, found := slices.BinarySearch(l.blocks[b], id)
	if found {
		return
	}
	block := slices.Insert(l.blocks[b], i, id)
	l.blocks[b] = block
	if len(block) > maxBlock {
		half := len(block) / 2
		l.blocks[b] = slices.Clone(block[:half])
		l.blocks = slices.Insert(l.blocks, b+1, slices.Clone(block[half:]))
	}
}

// remove takes an id out, if it is there.
func (l *idList) remove(id string) {
	b := l.block(id)
	if b == len(l.blocks) {
		return
	}
	i, found := slices.BinarySearch(l.blocks[b], id)
	if !found {
		return
	}
	l.blocks[b] = slices.Delete(l.blocks[b], i, i+1)
	if len(l.blocks[b]) == 0 {
		l.blocks = slices.Delete(l.blocks, b, b+1)
	}
}

// after returns the ids greater than id, in order.
func (l *idList) after(id string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for b := l.block(id); b < len(l.blocks); b++ {
			i, found := slices.BinarySearch(l.blocks[b], id)
			if found {
				i++
			}
			for _, next := range l.blocks[b][i:] {
				if !yield(next) {
					return
				}
			}
		}
	}
}
