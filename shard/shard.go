// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/stats"
)

// maxInbox is the weight of the commands that may wait for a shard before
// [Router.Dispatch] waits: 16,384 small events, or 64 MiB of large ones. The log
// keeps what is not dispatched yet.
const maxInbox = 16384

// A shard is the face of a [state]: what any goroutine may call.
type shard struct {
	loop  *poller.Loop
	state *state // the loop's
	stats *stats.Shard

	inbox poller.Inbox[command]
	depth atomic.Int64 // weight of the commands posted and not yet applied
	// The dispatcher waits on room when the inbox is full; waiting tells the
	// loop that it does.
	room    chan struct{}
	waiting atomic.Bool
	// gone is closed when the loop has ended: what is posted from then on is
	// given up by whoever posts it.
	gone chan struct{}
	// position is the router's: the newest event that has been posted to every
	// shard it is for.
	position *atomic.Uint64
}

func startShard(cfg Config, index int, position *atomic.Uint64) (*shard, error) {
	sh := &shard{stats: stats.NewShard(), room: make(chan struct{}, 1), gone: make(chan struct{}), position: position}
	// Turns begin when the first ring does, after loop is set.
	sh.state = newState(cfg, index, sh.stats, func() { sh.loop.Ring() }, time.Now)
	loop, err := poller.Start(poller.Config{Turn: sh.turn, Tick: sh.state.tick, TickEvery: tick})
	if err != nil {
		return nil, fmt.Errorf("shard %d: %w", index, err)
	}
	sh.loop, sh.state.loop = loop, loop
	return sh, nil
}

// post adds a command, and reports whether the loop was there to take it. When it is
// not, the command has been given up: a registration's connection is closed, anything
// else is dropped. Any goroutine may call it at any time.
func (sh *shard) post(cmd command) bool {
	sh.depth.Add(cmd.weight())
	sh.inbox.Push(cmd)
	sh.loop.Ring()
	select {
	case <-sh.gone:
		sh.giveUp()
		return false
	default:
		return true
	}
}

// giveUp empties the inbox of a loop that has ended. What stop does not find there is
// found by the post that pushed it, because that looks at gone after pushing.
func (sh *shard) giveUp() {
	for _, cmd := range sh.inbox.Take(nil) {
		sh.depth.Add(-cmd.weight())
		if cmd.register != nil {
			cmd.register.abandon()
		}
	}
}

// stop closes the connections that are left without a close frame, and the loop.
func (sh *shard) stop() {
	sh.ask((*state).stop)
	sh.loop.Close()
	close(sh.gone)
	sh.giveUp()
}

// turn is the loop's: it takes the inbox when the last take is done with, and
// hands it to the state.
func (sh *shard) turn(now time.Time) (again bool) {
	s := sh.state
	if s.next == len(s.pending) {
		// In this order: what had been posted when position was read is taken.
		upTo := sh.position.Load()
		s.pending, s.next = sh.inbox.Take(s.pending[:0]), 0
		s.upTo = upTo
	}
	again = s.turn(now)
	depth := sh.depth.Add(-s.applied)
	s.applied = 0
	if depth <= maxInbox/2 && sh.waiting.Load() {
		sh.waiting.Store(false)
		select {
		case sh.room <- struct{}{}:
		default:
		}
	}
	return again
}

// awaitRoom waits while the inbox is full. The dispatcher's goroutine only.
func (sh *shard) awaitRoom() {
	for sh.depth.Load() >= maxInbox {
		sh.waiting.Store(true)
		if sh.depth.Load() < maxInbox {
			return
		}
		select {
		case <-sh.room:
		case <-sh.gone:
			return
		}
	}
}

// ask runs f on the loop and waits until it has run. It reports false when it did not
// run and never will, because the loop has ended.
func (sh *shard) ask(f func(*state)) bool {
	done := make(chan struct{})
	sh.post(command{do: func(s *state) {
		defer close(done)
		f(s)
	}})
	select {
	case <-done:
		return true
	case <-sh.gone:
	}
	select { // it may have been the last that ran
	case <-done:
		return true
	default:
		return false
	}
}
