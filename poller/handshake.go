// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

// A handshakeSemaphore limits concurrent handshake computations. A handshake needs
// most of a millisecond of a processor, and in a connect storm hundreds are ready
// to compute. Without the limit all of them would be in the scheduler's queue ahead
// of a loop that has an event to deliver. A nil semaphore has no limit.
type handshakeSemaphore chan *netpollYielder

// newHandshakeSemaphore returns a semaphore with n slots.
func newHandshakeSemaphore(n int) handshakeSemaphore {
	s := make(handshakeSemaphore, n)
	for range n {
		s <- newNetpollYielder()
	}
	return s
}

// acquire waits for a slot, and then lets every goroutine run that is ready. The
// result is for release.
func (s handshakeSemaphore) acquire() *netpollYielder {
	if s == nil {
		return nil
	}
	y := <-s
	y.yield()
	return y
}

// release returns a slot.
func (s handshakeSemaphore) release(y *netpollYielder) {
	if s != nil {
		s <- y
	}
}
