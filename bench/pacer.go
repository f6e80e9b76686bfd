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

// maxPaced is the most that a load waits for a server that limits attempts to connect.
const maxPaced = 2 * time.Minute

// A pacer makes connections no faster than the server takes them. Goroutines may
// share it.
type pacer struct {
	left   atomic.Int64        // connections that are not made yet
	notice func(time.Duration) // called once, with about how long the rest takes; nil: nobody wants to know
	once   sync.Once
	mu     sync.Mutex // held by the one that waits for the server's limit
}

// A PaceError is that connections would take longer than a load waits for them.
type PaceError struct {
	Made int           // connections that were made
	Rest time.Duration // that the others take, about
	Err  error         // of the attempt that was one too many
}

func (e *PaceError) Error() string {
	return fmt.Sprintf("%v; it took %s, and the rest would take some %v", e.Err, plural(e.Made, "connection"), e.Rest.Round(time.Second))
}

func (e *PaceError) Unwrap() error { return e.Err }

// dial connects as a gateway. While the server answers that there were too many
// attempts, it waits for as long as the server says, if that is not too long for all
// that are left.
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

// tooMany returns how long a server wants to be left alone, 0 for another error.
func tooMany(err error) time.Duration {
	if refused, ok := errors.AsType[*RefusedError](err); ok && refused.Status == http.StatusTooManyRequests {
		return refused.RetryAfter
	}
	return 0
}
