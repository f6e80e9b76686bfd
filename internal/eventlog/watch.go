// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"time"
)

// checkEvery is the interval of checks of the histories.
const checkEvery = 2 * time.Second

// watch checks the histories until the log is closed, and with that keeps first and last
// nearly up to date. A tail knows last at once. A check finds how far a shared log is ahead
// of a tail that is late.
func (l *Log) watch() {
	timer := time.NewTimer(checkEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.kick:
		case <-l.ctx.Done():
			return
		}
		next := checkEvery
		if !l.checkAll() {
			next = recheck
		}
		l.checkpoint()
		timer.Reset(next)
	}
}

// checkSoon has the histories checked now. It does not block.
func (l *Log) checkSoon() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// checkAll checks the histories, and reports whether all checks succeeded.
func (l *Log) checkAll() (ok bool) {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	l.abort.Store(&cancel) // disconnected calls it
	ok = true
	for i, h := range l.histories() {
		err := h.check(ctx)
		if i == 0 { // of the events
			l.lost.Store(err != nil && l.ctx.Err() == nil)
		}
		if err == nil {
			h.failing = false
		} else if l.ctx.Err() == nil {
			ok = false
			if h.failing {
				continue
			}
			h.failing = true
			l.cfg.Logger.Warn("event log: checking a stream failed; trying again", "stream", h.name, "err", err)
		}
	}
	return ok
}

// checkpoint has the store record what the streams hold.
func (l *Log) checkpoint() {
	ctx, cancel := context.WithTimeout(l.ctx, checkEvery)
	defer cancel()
	if err := l.store.Checkpoint(ctx, l.history.last.load()); err != nil && l.ctx.Err() == nil {
		l.cfg.Logger.Warn("event log: cannot record what the store holds", "err", err)
	}
}

// Reachable reports whether the log answered at the last check, at most some seconds ago.
func (l *Log) Reachable() bool {
	return !l.lost.Load() && !l.history.unsure.Load() && l.store.Connected()
}
