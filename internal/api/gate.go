// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"sync"
)

// A gate counts the events that are on their way to the log, and can be shut.
// Its methods may be called by any goroutine. The zero gate is open.
type gate struct {
	mu     sync.Mutex
	inside int
	shut   bool
	empty  chan struct{} // made by shutting, closed when the last has left
}

// enter counts one event in, unless the gate is shut.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	g.inside++
	return true
}

// leave counts one event out.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.shut {
		close(g.empty)
	}
}

// close shuts the gate. Closing twice is harmless.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return
	}
	g.shut, g.empty = true, make(chan struct{})
	if g.inside == 0 {
		close(g.empty)
	}
}

// wait returns when nothing is inside the gate, which has been shut, or ctx has
// ended.
func (g *gate) wait(ctx context.Context) error {
	select {
	case <-g.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
