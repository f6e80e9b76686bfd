// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"sync"
)

// A queue holds the events that a connection has received and nobody has taken.
// One goroutine puts; any may take, stop and end.
type queue struct {
	limit int           // bytes; constant
	added chan struct{} // holds a token when there may be something to take
	taken chan struct{} // holds a token when there may be room

	mu      sync.Mutex
	events  []Event
	bytes   int   // of events
	stopped bool  // nobody takes any more
	err     error // why nothing more comes; nil while it may
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, added: make(chan struct{}, 1), taken: make(chan struct{}, 1)}
}

// put adds an event, once there is room. An event larger than the limit has room
// when the queue is empty. Of a stopped queue it drops the event.
func (q *queue) put(e Event) {
	for !q.tryPut(e) {
		<-q.taken
	}
}

func (q *queue) tryPut(e Event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		return true
	case len(q.events) > 0 && q.bytes+len(e.Raw) > q.limit:
		return false
	}
	q.events = append(q.events, e)
	q.bytes += len(e.Raw)
	wake(q.added)
	return true
}

// take returns the next event, or why there will be none.
func (q *queue) take(ctx context.Context) (Event, error) {
	for {
		if ctx.Err() != nil {
			return Event{}, context.Cause(ctx)
		}
		if e, ok, err := q.tryTake(); ok || err != nil {
			return e, err
		}
		select {
		case <-q.added:
		case <-ctx.Done():
		}
	}
}

func (q *queue) tryTake() (e Event, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 {
		if q.err != nil {
			wake(q.added) // for whoever else takes
		}
		return Event{}, false, q.err
	}
	e = q.events[0]
	q.events[0] = Event{} // let go of its bytes
	q.events = q.events[1:]
	q.bytes -= len(e.Raw)
	wake(q.taken)
	if len(q.events) > 0 || q.err != nil {
		wake(q.added)
	}
	return e, true, nil
}

// end says why nothing more comes, if nothing has been said before. What is in
// the queue can still be taken.
func (q *queue) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	wake(q.added)
}

// stop drops what is in the queue and all that comes; err is why.
func (q *queue) stop(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped, q.err = true, err
	q.events, q.bytes = nil, 0
	wake(q.added)
	wake(q.taken)
}

// wake puts a token into c unless it holds one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
