// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

// A slots is a set whose members keep one number while they are in it. A walk by number
// visits every member that stays throughout exactly once, even if it is interrupted and
// others come and go meanwhile.
type slots[T any] struct {
	items []*T // nil is a free slot
	free  []int32
}

// add adds v and returns its number.
func (s *slots[T]) add(v *T) int32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		s.items[i] = v
		return i
	}
	s.items = append(s.items, v)
	return int32(len(s.items) - 1)
}

// remove removes the member with number i.
func (s *slots[T]) remove(i int32) {
	s.items[i] = nil
	s.free = append(s.free, i)
}

// len returns the number of members.
func (s *slots[T]) len() int { return len(s.items) - len(s.free) }
