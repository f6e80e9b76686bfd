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

// A session is one connection of a gateway and what it received. A gateway can have several
// sessions, one after the other.
type session struct {
	peer   *peer
	cursor event.Cursor // position where it begins

	// numbers are the numbers of the received events. The goroutine that runs the peer writes them,
	// until done is closed.
	numbers []int64
	last    atomic.Int64  // the newest of numbers
	more    chan struct{} // holds a token if numbers grew since the last receive
	leaving atomic.Bool   // this side ends the session
	done    chan struct{}
	err     error // why it ended; read after done is closed
}

// dialSession connects as a gateway.
func dialSession(ctx context.Context, t Target, g *gateway) (*session, error) {
	p, err := dialPeer(ctx, t, g)
	if err != nil {
		return nil, err
	}
	s := &session{peer: p, more: make(chan struct{}, 1), done: make(chan struct{})}
	if s.cursor, err = event.ParseCursor(p.cursor); err != nil {
		p.reset()
		return nil, fmt.Errorf("the ack's cursor is %q: %w", p.cursor, err)
	}
	return s, nil
}

// run receives until the session ends. It calls arrived with each event.
func (s *session) run(arrived func(stamp)) {
	defer close(s.done)
	defer s.peer.reset()
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

// await waits until the session has received the last event of must. Only one goroutine may call it
// at a time.
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
			return fmt.Errorf("gateway %d did not receive event %d within %v; the last one was %d", s.peer.gateway, want, arrivalTimeout, s.last.Load())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// leave ends the session and waits for its goroutine.
func (s *session) leave() {
	s.leaving.Store(true)
	s.peer.reset()
	<-s.done
}

// check returns an error if the received events are not a prefix of events. The session must have
// ended. await checks that enough events arrived.
func (s *session) check(events []int64) error {
	if n := min(len(s.numbers), len(events)); !slices.Equal(s.numbers, events[:n]) {
		i := 0
		for i < n && s.numbers[i] == events[i] {
			i++
		}
		return fmt.Errorf("gateway %d received, from %v on, events %v instead of %v", s.peer.gateway, s.cursor, s.numbers[i:], events[i:])
	}
	return nil
}
