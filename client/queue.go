// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"sync"
)

// A queue holds the events that a connection has received and its user has not taken. One
// goroutine calls put; any goroutine can call take, stop and end.
type queue struct {
	// Constant.
	limit int           // bytes
	added chan struct{} // holds a token when there may be something to take
	taken chan struct{} // holds a token when there may be room

	mu      sync.Mutex // guards the fields below
	events  []Event
	bytes   int   // of events
	stopped bool  // events are dropped
	err     error // why no more events follow; nil before that
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, added: make(chan struct{}, 1), taken: make(chan struct{}, 1)}
}

// put waits for room and adds an event. An event larger than the limit fits into an empty queue. A
// stopped queue drops the event.
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

// take waits for the next event and returns it, or the reason why none follows.
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
			wake(q.added) // for the next goroutine in take
		}
		return Event{}, false, q.err
	}
	e = q.events[0]
	q.events[0] = Event{} // releases its bytes
	q.events = q.events[1:]
	q.bytes -= len(e.Raw)
	wake(q.taken)
	if len(q.events) > 0 || q.err != nil {
		wake(q.added)
	}
	return e, true, nil
}

// end sets the reason why no more events follow, unless there is one. Events in the queue can
// still be taken.
func (q *queue) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	wake(q.added)
}

// stop drops the events in the queue and all that follow. take then returns err.
func (q *queue) stop(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped, q.err = true, err
	q.events, q.bytes = nil, 0
	wake(q.added)
	wake(q.taken)
}

// wake puts a token into c unless c holds one. It never blocks.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
