// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"time"
)

// A pace is the schedule of actions at a constant rate.
type pace struct {
	due   time.Duration // of the next action
	every time.Duration
	timer *time.Timer
}

// newPace returns a pace whose first action is due at start.
func newPace(start, every time.Duration) *pace {
	return &pace{due: start, every: every, timer: time.NewTimer(0)}
}

// perSecond returns the interval of n actions per second.
func perSecond(n int) time.Duration { return time.Second / time.Duration(n) }

// next waits until the next action is due and returns its time. If it was due already, that is the
// due time, so that the delay counts for the action. Otherwise it is the current time, so that the
// timer's own delay does not count.
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
