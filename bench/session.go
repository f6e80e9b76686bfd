// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A session is one connection of a gateway, which may have several one after the
// other, and what it received.
type session struct {
	peer   *peer
	cursor event.Cursor // where it began

	// numbers are those of the events it received. The goroutine that runs the
	// peer writes them, until done is closed.
	numbers []int64
	last    atomic.Int64  // the newest of numbers
	more    chan struct{} // has an element when numbers have grown since the last look
	leaving atomic.Bool   // it is this side that ends it
	done    chan struct{}
	err     error // why it ended, once done is closed
}

// dialSession connects as a gateway.
func dialSession(ctx context.Context, t Target, g *gateway) (*session, error) {
	p, err := dialPeer(ctx, t, g)
	if err != nil {
		return nil, err
	}
	s := &session{peer: p, more: make(chan struct{}, 1), done: make(chan struct{})}
	if s.cursor, err = event.ParseCursor(p.cursor); err != nil {
		p.hangUp()
		return nil, fmt.Errorf("the ack's cursor is %q: %w", p.cursor, err)
	}
	return s, nil
}

// run receives until the session ends. It calls arrived with each event.
func (s *session) run(arrived func(stamp)) {
	defer close(s.done)
	defer s.peer.hangUp()
	s.err = s.peer.run(func(st stamp) error {
		arrived(st)
		s.numbers = append(s.numbers, st.n)
		s.last.Store(st.n)
		select {
		case s.more <- struct{}{}:
		default:
		}
		return nil
	})
}

// await waits until the session has received the last of the events it must
// have. One goroutine at a time may.
func (s *session) await(ctx context.Context, must []int64) error {
	if len(must) == 0 {
		return nil
	}
	want := must[len(must)-1]
	late := time.NewTimer(arrivalTimeout)
	defer late.Stop()
	for s.last.Load() < want {
		select {
		case <-s.more:
		case <-s.done:
			return s.err
		case <-late.C:
			return fmt.Errorf("gateway %d has not got event %d for %v; the last it got is %d", s.peer.gateway, want, arrivalTimeout, s.last.Load())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// leave ends the session and waits for its goroutine.
func (s *session) leave() {
	s.leaving.Store(true)
	s.peer.hangUp()
	<-s.done
}

// check reports what the session, which has ended, got that differs from the
// front of the events it was to get. That it got enough of them is await's to say.
func (s *session) check(events []int64) error {
	if n := min(len(s.numbers), len(events)); !slices.Equal(s.numbers, events[:n]) {
		i := 0
		for i < n && s.numbers[i] == events[i] {
			i++
		}
		return fmt.Errorf("gateway %d, from %v on, got events %v where %v were to come", s.peer.gateway, s.cursor, s.numbers[i:], events[i:])
	}
	return nil
}
