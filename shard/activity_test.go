// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/activity"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"
)

// A gateway that is silent while its own request is in progress is alive, as long as
// the request's bytes move, and for the timeout after that.
func TestRequestsAreSignsOfLife(t *testing.T) {
	r := newRig(Config{Timeout: 30 * time.Second})
	requests := new(activity.Requests)
	p := &pipe{room: unlimited, live: new(atomic.Int32)}
	reg := p.registration("gw")
	reg.Peer.Requests = requests
	r.post(command{register: reg})
	r.settle()
	other := r.connect("other")

	r.wait(20 * time.Second)
	requests.Begin(r.time)
	r.wait(25 * time.Second)
	if other.closed != 1 || p.closed != 0 {
		t.Fatalf("after 45 s: closed %d, and %d without a request", p.closed, other.closed)
	}
	r.wait(30 * time.Second)
	requests.BytesMoved(r.time) // at 75 s
	r.wait(60 * time.Second)
	if p.closed != 0 {
		t.Fatal("closed with a request in progress whose bytes moved a minute ago")
	}
	requests.BytesMoved(r.time) // at 135 s
	r.wait(5 * time.Second)
	requests.End(r.time)
	r.wait(29 * time.Second)
	if p.closed != 0 {
		t.Fatal("closed before it could answer")
	}
	r.wait(2 * time.Second)
	if p.closed != 1 || r.lastDisconnect(t).Disconnect != event.HeartbeatTimeout {
		t.Fatal("still open")
	}
}

func TestStuckRequestIsNoSignOfLife(t *testing.T) {
	r := newRig(Config{Timeout: 30 * time.Second})
	requests := new(activity.Requests)
	p := &pipe{room: unlimited, live: new(atomic.Int32)}
	reg := p.registration("gw")
	reg.Peer.Requests = requests
	r.post(command{register: reg})
	r.settle()
	requests.Begin(r.time)
	r.wait(89 * time.Second)
	if p.closed != 0 {
		t.Fatal("closed too soon")
	}
	r.wait(2 * time.Second)
	if p.closed != 1 {
		t.Fatal("still open")
	}
}

// Times in the stats do not change unless the clock is set. connectedAt does not change
// even then.
func TestTimesDoNotChange(t *testing.T) {
	r := newRig(Config{})
	start := r.time
	r.connect("gw")
	r.wait(time.Second)
	snap := func() stats.Connection {
		page, _ := r.page(nil, 0, 1)
		return page[0]
	}
	first := snap()
	if !first.ConnectedAt.Equal(start) || !first.LastHeartbeat.Equal(start) {
		t.Errorf("connected at %v, heard at %v; want %v", first.ConnectedAt, first.LastHeartbeat, start)
	}
	for i := range 100 { // the two clocks are not read at the same instant
		r.time = r.time.Add(time.Duration(i))
		if got := snap(); !got.ConnectedAt.Equal(first.ConnectedAt) || !got.LastHeartbeat.Equal(first.LastHeartbeat) {
			t.Fatalf("connected at %v, heard at %v; were %v, %v", got.ConnectedAt, got.LastHeartbeat, first.ConnectedAt, first.LastHeartbeat)
		}
	}
}

// isSlow reports whether a connection was closed as a slow consumer.
func isSlow(p *pipe) bool {
	c := p.receiver.(*conn)
	return c.state != open && c.reason == event.SlowConsumer
}

// A gateway that reads nothing while its own request is in progress is no slow consumer, as
// long as the request's bytes move, and for the stall timeout after that.
func TestBusyGatewayIsNoSlowConsumer(t *testing.T) {
	for _, busy := range []bool{true, false} {
		r := newRig(Config{Timeout: 300 * time.Second, StallTimeout: 10 * time.Second})
		requests := new(activity.Requests)
		p := &pipe{room: unlimited, live: new(atomic.Int32)}
		reg := p.registration("gw")
		reg.Peer.Requests = requests
		r.post(command{register: reg})
		r.settle()
		if busy {
			requests.Begin(r.time)
		}
		p.room = 0
		r.publish(to("gw"))
		r.wait(9 * time.Second)
		if isSlow(p) {
			t.Fatal("closed too soon")
		}
		r.wait(3 * time.Second)
		if closed := isSlow(p); closed == busy {
			t.Fatalf("12 s after the publish: closing %t; busy %t", closed, busy)
		}
		if !busy {
			continue
		}
		r.wait(50 * time.Second)
		requests.BytesMoved(r.time)
		r.wait(30 * time.Second)
		requests.End(r.time)
		r.wait(9 * time.Second)
		if isSlow(p) {
			t.Fatal("closed before it could read")
		}
		r.wait(3 * time.Second)
		if !isSlow(p) {
			t.Fatal("still open")
		}
	}
}
