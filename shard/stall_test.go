// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// stallRig has 400 events of a size in its window, and a gateway that resumes before
// them over a transport that takes nothing yet.
func stallRig(size, seal int) (*rig, *pipe) {
	r := newRig(Config{StallTimeout: 10 * time.Second})
	for range 400 {
		r.seq++
		c := event.Cursor{Epoch: 7, Seq: r.seq}
		m := &Message{Wire: append(bytes.Repeat([]byte("x"), size-1), '\n'), Cursor: c, Published: r.time.UnixNano()}
		r.post(command{message: m, to: receiversOf(to("gw"))})
		r.settle()
	}
	p := &pipe{live: new(atomic.Int32), seal: seal}
	reg := p.registration("gw")
	reg.Resume = &Resume{After: 100}
	r.post(command{register: reg})
	r.settle()
	return r, p
}

// A peer that takes its replay slowly makes progress, although its queue is refilled
// from the window in the same flush, or by new events.
func TestSlowReplayMoves(t *testing.T) {
	for _, size := range []int{64 << 10, 1 << 10, 100} {
		for _, seal := range []int{0, 16 << 10} {
			for _, step := range []int{size, size / 3, 1} {
				t.Run(fmt.Sprintf("events of %d, sealed by %d, taken by %d", size, seal, step), func(t *testing.T) {
					r, p := stallRig(size, seal)
					for range 20 { // a minute, in which it takes something every three seconds
						r.wait(3 * time.Second)
						p.receiver.(*conn).Alive() // it answers pings
						p.give(step)
						r.settle()
					}
					if n := r.count(Disconnected); n > 0 || p.closed > 0 || bytes.Contains(p.wrote.Bytes(), []byte("close")) {
						t.Errorf("it was closed: %+v", r.notices)
					}
				})
			}
		}
	}
}

// The same peer is closed when it stops, whatever is queued after what it does not
// take.
func TestStoppedReplayIsStalled(t *testing.T) {
	for _, seal := range []int{0, 16 << 10} {
		r, p := stallRig(1<<10, seal)
		p.give(5000)
		r.settle()
		for range 5 {
			r.wait(3 * time.Second)
			if c, ok := p.receiver.(*conn); ok {
				c.Alive()
			}
			r.publish(to("gw"))
			r.settle()
		}
		if n := r.stats.Disconnects.Load(int(event.SlowConsumer)); n != 1 && p.receiver.(*conn).reason != event.SlowConsumer {
			t.Errorf("sealed by %d: it is not closed as a slow consumer", seal)
		}
	}
}
