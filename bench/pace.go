// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"time"
)

// A pace says when it is the turn of each of a row of things that are to be done
// at a steady rate.
type pace struct {
	due   time.Duration // of the next
	every time.Duration
	timer *time.Timer
}

// newPace returns a pace whose first turn is at start.
func newPace(start, every time.Duration) *pace {
	return &pace{due: start, every: every, timer: time.NewTimer(0)}
}

// perSecond returns the time between two of n things a second.
func perSecond(n int) time.Duration { return time.Second / time.Duration(n) }

// next waits for the next turn and returns when it was. A turn that had passed
// already was when it should have been: whatever is late for it has kept it
// waiting since. For others it is now, as the timer's own lateness is nobody's
// fault.
func (p *pace) next(ctx context.Context) (at time.Duration, err error) {
	at = p.due
	p.due += p.every
	ahead := at - now()
	if ahead <= 0 {
		return at, ctx.Err()
	}
	p.timer.Reset(ahead)
	select {
	case <-p.timer.C:
		return now(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (p *pace) stop() { p.timer.Stop() }
