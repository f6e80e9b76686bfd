// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// maxPaced is how long a load waits, in total, for a server that limits connection attempts.
const maxPaced = 2 * time.Minute

// A pacer makes connections at the rate that the server accepts. Goroutines can share it.
type pacer struct {
	left   atomic.Int64        // connections still to be made
	notice func(time.Duration) // called once, with an estimate of the remaining time; can be nil
	once   sync.Once
	mu     sync.Mutex // held while waiting for the server's limit
}

// A PaceError is returned if connecting would take longer than a load waits.
type PaceError struct {
	Made int           // connections made
	Rest time.Duration // estimate for the others
	Err  error         // the refusal
}

func (e *PaceError) Error() string {
	return fmt.Sprintf("%v; it took %s, and the rest would take some %v", e.Err, plural(e.Made, "connection"), e.Rest.Round(time.Second))
}

func (e *PaceError) Unwrap() error { return e.Err }

// dial connects as a gateway. While the server refuses with a rate limit, it waits as long as the
// server requires, unless that takes too long for all remaining connections.
func (c *pacer) dial(ctx context.Context, t Target, g *gateway, total int) (*peer, error) {
	p, err := dialPeer(ctx, t, g)
	if wait := tooMany(err); wait > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		for ; wait > 0; wait = tooMany(err) {
			left := c.left.Load()
			rest := time.Duration(left) * wait
			if rest > maxPaced {
				return nil, &PaceError{Made: total - int(left), Rest: rest, Err: err}
			}
			c.once.Do(func() {
				if c.notice != nil {
					c.notice(rest)
				}
			})
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			p, err = dialPeer(ctx, t, g)
		}
	}
	if err == nil {
		c.left.Add(-1)
	}
	return p, err
}

// tooMany returns how long the server requires to wait, or 0 for another error.
func tooMany(err error) time.Duration {
	if refused, ok := errors.AsType[*RefusedError](err); ok && refused.Status == http.StatusTooManyRequests {
		return refused.RetryAfter
	}
	return 0
}
