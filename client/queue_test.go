// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"testing"
	"testing/synctest"
)

func sized(id string, n int) Event { return Event{ID: id, Raw: make([]byte, n)} }

// expect takes one event and checks which.
func expect(t *testing.T, q *queue, id string) {
	t.Helper()
	if e, err := q.take(t.Context()); err != nil || e.ID != id {
		t.Errorf("took %q, %v, want %q", e.ID, err, id)
	}
}

func TestQueueBlocksWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10)
		put := 0
		go func() {
			for _, e := range []Event{sized("a", 4), sized("b", 6), sized("c", 1), sized("huge", 100), sized("d", 1)} {
				q.put(e)
				put++
			}
		}()
		for _, tt := range []struct {
			id   string
			held int // events put when the queue is as full as it gets
		}{{"a", 2}, {"b", 3}, {"c", 3}, {"huge", 4}, {"d", 5}} {
			synctest.Wait()
			if put != tt.held {
				t.Errorf("before %q: %d events were put, want %d", tt.id, put, tt.held)
			}
			expect(t, q, tt.id)
		}
	})
}

func TestQueueEnd(t *testing.T) {
	q := newQueue(10)
	why := errors.New("why")
	q.put(sized("a", 1))
	q.end(why)
	q.end(errors.New("later"))
	expect(t, q, "a")
	for range 2 {
		if _, err := q.take(t.Context()); err != why {
			t.Errorf("got %v, want %v", err, why)
		}
	}
}

// End wakes every goroutine in take.
func TestQueueEndWakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10)
		why := errors.New("why")
		woken := 0
		results := make(chan error)
		for range 3 {
			go func() {
				_, err := q.take(t.Context())
				results <- err
			}()
		}
		synctest.Wait()
		q.end(why)
		for range 3 {
			if <-results == why {
				woken++
			}
		}
		if woken != 3 {
			t.Errorf("%d of 3 goroutines got the reason", woken)
		}
	})
}

func TestQueueStopReleasesPut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		why := errors.New("why")
		q.put(sized("a", 1))
		done := make(chan struct{})
		go func() { q.put(sized("b", 1)); q.put(sized("c", 1)); close(done) }()
		synctest.Wait()
		q.stop(why)
		<-done
		q.end(errors.New("later"))
		if e, err := q.take(t.Context()); err != why {
			t.Errorf("took %q, %v, want %v", e.ID, err, why)
		}
	})
}
