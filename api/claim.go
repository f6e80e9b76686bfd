// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"gatecast/event"
)

const (
	// claimFor is how long the log knows an idempotency key.
	claimFor = 2 * time.Minute
	// maxClaims bounds the keys that are remembered; about 20 MiB. For a key that
	// was forgotten the log is asked.
	maxClaims = 1 << 16
)

// claims remembers what the publishes of idempotency keys were answered. Any
// goroutine may use it; the zero value is ready.
type claims struct {
	mu    sync.Mutex
	byKey map[string]*claim
	queue []*claim // oldest first; some are not in byKey any more
}

// A claim is what publishes with one key share. The log decides which of them is
// the first; the others give the same answer.
type claim struct {
	key string
	at  time.Time

	// mu is held also while an append begins, so that no append can have come
	// before another in the log that it cannot see in under.
	mu    sync.Mutex
	first *receipt   // once it is known
	under []*attempt // appends that are under way
}

// An attempt is an append under a claim. It is not changed once made.
type attempt struct {
	pending Pending
	receipt receipt // without an id, for if it is the first
}

// known returns the answer to the first publish of a key.
func (c *claims) known(key string, now time.Time) (receipt, bool) {
	c.mu.Lock()
	cl := c.byKey[key]
	c.mu.Unlock()
	if cl == nil || cl.expired(now) {
		return receipt{}, false
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.first == nil {
		return receipt{}, false
	}
	return *cl.first, true
}

// of returns the claim of a key.
func (c *claims) of(key string, now time.Time) *claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl := c.byKey[key]; cl != nil && !cl.expired(now) {
		return cl
	}
	for len(c.queue) > 0 && (len(c.queue) >= maxClaims || c.queue[0].expired(now)) {
		c.forget(c.queue[0])
		c.queue[0] = nil
		c.queue = c.queue[1:]
	}
	if c.byKey == nil {
		c.byKey = make(map[string]*claim)
	}
	cl := &claim{key: key, at: now}
	c.byKey[key] = cl
	c.queue = append(c.queue, cl)
	return cl
}

// forget is called with mu held.
func (c *claims) forget(cl *claim) {
	if c.byKey[cl.key] == cl {
		delete(c.byKey, cl.key)
	}
}

func (c *claim) expired(now time.Time) bool { return now.Sub(c.at) >= claimFor }

// begin begins an append. The receipt is without an id.
func (c *claim) begin(log Log, ev *event.Event, body []byte, r receipt) (*attempt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := log.AppendAsync(ev, body)
	if err != nil {
		return nil, err
	}
	a := &attempt{p, r}
	c.under = append(c.under, a)
	return a, nil
}

// fail ends an attempt that the log did not confirm.
func (c *claim) fail(a *attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(a)
}

// succeed ends an attempt that was answered by r, and returns what the claim
// is answered by: r, unless there was an answer for the same event.
func (c *claim) succeed(a *attempt, r receipt) receipt {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(a)
	if c.first == nil || c.first.id != r.id {
		c.first = &r
	}
	return *c.first
}

// end is called with mu held.
func (c *claim) end(a *attempt) {
	c.under = slices.DeleteFunc(c.under, func(x *attempt) bool { return x == a })
}

// find returns the receipt of the event with an id, if it is known here. It does
// not depend on who published it: that one's goroutine may be waiting for a
// client that does not read.
func (c *claim) find(ctx context.Context, id event.Cursor) (receipt, bool) {
	c.mu.Lock()
	first, under := c.first, slices.Clone(c.under)
	c.mu.Unlock()
	if first != nil && first.id == id {
		return *first, true
	}
	for _, a := range under {
		if cursor, err := a.pending.Wait(ctx); err == nil && cursor == id && !a.pending.Duplicate() {
			return a.receipt.of(id), true
		}
	}
	return receipt{}, false
}
