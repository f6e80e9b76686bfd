// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import "runtime"

// A turnstile lets so many handshakes compute at once. Each needs the better part
// of a millisecond of a processor, and in a connect storm hundreds are ready for
// theirs; without it they would all stand in the scheduler's queue ahead of a
// loop that has an event to deliver. A nil turnstile lets everybody through.
type turnstile chan struct{}

// enter waits for a place, and then behind whatever else is ready to run.
func (t turnstile) enter() {
	if t == nil {
		return
	}
	t <- struct{}{}
	runtime.Gosched()
}

// leave gives the place back.
func (t turnstile) leave() {
	if t != nil {
		<-t
	}
}
