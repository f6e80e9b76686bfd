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

// maxInbox is the weight of commands in an inbox at which [Router.Dispatch] blocks:
// 16,384 small events, or 64 MiB of large ones. What is not dispatched is still in the
// log.
const maxInbox = 16384

// A shard is the part of a [state] that any goroutine can use.
type shard struct {
	loop  *poller.Loop
	state *state // owned by the loop
	stats *stats.Shard

	inbox poller.Inbox[command]
	depth atomic.Int64 // weight of the commands that are posted and not applied
	// The dispatcher waits on room when the inbox is full, and sets waiting so that the
	// loop sends on it.
	room    chan struct{}
	waiting atomic.Bool
	// stopped is closed when the loop has ended. A goroutine that posts later abandons its command.
	stopped chan struct{}
	// position is the router's: the newest event that was posted to all its shards.
	position *atomic.Uint64
}

// startShard starts a shard and its loop. position is the router's.
func startShard(cfg Config, index int, position *atomic.Uint64) (*shard, error) {
	sh := &shard{stats: stats.NewShard(), room: make(chan struct{}, 1), stopped: make(chan struct{}), position: position}
	// The first turn follows the first ring, which follows the assignment of loop.
	sh.state = newState(cfg, index, sh.stats, func() { sh.loop.Ring() }, time.Now)
	loop, err := poller.Start(poller.Config{Turn: sh.turn, Tick: sh.state.tick, TickEvery: tick})
	if err != nil {
		return nil, fmt.Errorf("shard %d: %w", index, err)
	}
	sh.loop, sh.state.loop = loop, loop
	return sh, nil
}

// post adds a command, and reports whether the loop was running. If it was not, the
// command is abandoned: the connection of a registration is closed, anything else is
// dropped. Any goroutine can call it at any time.
func (sh *shard) post(cmd command) bool {
	sh.depth.Add(cmd.weight())
	sh.inbox.Push(cmd)
	sh.loop.Ring()
	select {
	case <-sh.stopped:
		sh.abandonInbox()
		return false
	default:
		return true
	}
}

// abandonInbox empties the inbox of a loop that has ended. A command that stop does not
// find here is found by the post that pushed it, because post looks at stopped after
// pushing.
func (sh *shard) abandonInbox() {
	for _, cmd := range sh.inbox.Take(nil) {
		sh.depth.Add(-cmd.weight())
		if cmd.register != nil {
			cmd.register.abandon()
		}
	}
}

// stop closes the remaining connections without a close frame, then the loop.
func (sh *shard) stop() {
	sh.call((*state).stop)
	sh.loop.Close()
	close(sh.stopped)
	sh.abandonInbox()
}

// turn is called by the loop. It takes the inbox when the commands taken before are
// applied, and runs a turn of the state.
func (sh *shard) turn(now time.Time) (again bool) {
	s := sh.state
	if s.next == len(s.pending) {
		// In this order: everything that was posted when position was read is taken.
		upTo := sh.position.Load()
		s.pending, s.next = sh.inbox.Take(s.pending[:0]), 0
		s.pendingTo = upTo
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

// awaitRoom blocks while the inbox is full. Dispatcher only.
func (sh *shard) awaitRoom() {
	for sh.depth.Load() >= maxInbox {
		sh.waiting.Store(true)
		if sh.depth.Load() < maxInbox {
			return
		}
		select {
		case <-sh.room:
		case <-sh.stopped:
			return
		}
	}
}

// call runs f on the loop and waits for it. It reports false if f did not run and never
// will, because the loop has ended.
func (sh *shard) call(f func(*state)) bool {
	done := make(chan struct{})
	sh.post(command{do: func(s *state) {
		defer close(done)
		f(s)
	}})
	select {
	case <-done:
		return true
	case <-sh.stopped:
	}
	select { // f may have been the last that ran
	case <-done:
		return true
	default:
		return false
	}
}
