// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"sync"
)

// A gate counts the events on their way to the log, and can be closed for new
// ones. Any goroutine may call its methods. The zero gate is open.
//
// It is not a sync.WaitGroup: that one must not be added to while Wait runs at
// zero.
type gate struct {
	mu     sync.Mutex
	inside int // events between enter and leave
	shut   bool
	empty  chan struct{} // made by close, closed when the last event has left
}

// enter counts one event in. It reports false if the gate is closed.
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

// close closes the gate. Closing it again does nothing.
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

// wait returns when no event is inside, or when ctx ends. The gate must be
// closed.
func (g *gate) wait(ctx context.Context) error {
	select {
	case <-g.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
