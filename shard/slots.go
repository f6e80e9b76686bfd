// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

// slots is a set whose members each keep one number while they are in it. A
// walk by number meets everyone who is there throughout exactly once, however
// long it is interrupted and whoever comes and goes meanwhile.
type slots[T any] struct {
	items []*T // nil is a hole
	free  []int32
}

// add puts v in and returns its number.
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

// remove takes out the one with number i.
func (s *slots[T]) remove(i int32) {
	s.items[i] = nil
	s.free = append(s.free, i)
}

// len returns how many there are.
func (s *slots[T]) len() int { return len(s.items) - len(s.free) }
