// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"iter"
	"slices"
	"sync"
)

// Conns are connections by gateway, for libraries without such a table. The zero value is ready to
// use. Goroutines can share it.
type Conns[C comparable] struct {
	gateways sync.Map // gateway id → *gateway[C]
}

// A gateway holds the connections of one gateway. It stays after they have closed.
type gateway[C comparable] struct {
	mu    sync.Mutex
	conns []C // elements are never overwritten, so a reader can keep a prefix
}

// Add adds a connection of a gateway.
func (s *Conns[C]) Add(gatewayID string, c C) {
	found, _ := s.gateways.LoadOrStore(gatewayID, new(gateway[C]))
	g := found.(*gateway[C])
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns = append(g.conns, c)
}

// Remove removes a connection.
func (s *Conns[C]) Remove(gatewayID string, c C) {
	found, ok := s.gateways.Load(gatewayID)
	if !ok {
		return
	}
	g := found.(*gateway[C])
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.conns, c); i >= 0 {
		g.conns = slices.Concat(g.conns[:i], g.conns[i+1:])
	}
}

// Of returns the connections of a gateway.
func (s *Conns[C]) Of(gatewayID string) []C {
	if found, ok := s.gateways.Load(gatewayID); ok {
		return found.(*gateway[C]).list()
	}
	return nil
}

// All yields every connection.
func (s *Conns[C]) All() iter.Seq[C] {
	return func(yield func(C) bool) {
		s.gateways.Range(func(_, found any) bool {
			for _, c := range found.(*gateway[C]).list() {
				if !yield(c) {
					return false
				}
			}
			return true
		})
	}
}

func (g *gateway[C]) list() []C {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conns
}
