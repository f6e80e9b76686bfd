// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"sync/atomic"
	"testing"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/go-cmp/cmp"
)

// A gateway gets nothing from before its barriers: with a position and without one,
// from the window, from a scan, and live from a node that is late.
func TestBarrier(t *testing.T) {
	late := Barrier{Own: 108, All: 108}                          // registered after all there is but the last round
	joined := Barrier{Own: 100, All: 100, Groups: []uint64{108}} // joined x then
	verified := Barrier{All: 104}                                // as the platform's gateways have it
	for _, c := range []struct {
		name    string
		barrier Barrier
		from    *Resume
		window  int
		want    []string
	}{
		{"none", Barrier{}, &Resume{After: 100}, 1 << 20, []string{"ack 7-100 true", "7-101", "7-102", "7-103", "7-105", "7-106", "7-107", "7-109", "7-110", "7-111"}},
		{"registered late, a position", late, &Resume{After: 101}, 1 << 20, []string{"ack 7-108 true", "7-109", "7-110", "7-111"}},
		{"registered late, the newest of each key", late, &Resume{After: 101, Latest: true}, 1 << 20, []string{"ack 7-108 true", "7-109", "7-110", "7-111"}},
		{"registered late, no position", late, nil, 1 << 20, []string{"ack 7-108 false", "7-109", "7-110", "7-111"}},
		{"registered late, a position that cannot be", late, &Resume{ResyncReason: ResyncEpoch}, 1 << 20,
			[]string{"ack 7-108 false", "resync other_epoch 7-108", "7-109", "7-110", "7-111"}},
		{"registered late, a position not retained", late, &Resume{After: 42, Oldest: 90}, 1 << 20, []string{"ack 7-108 true", "7-109", "7-110", "7-111"}},
		{"joined a group late", joined, &Resume{After: 100}, 1 << 20, []string{"ack 7-100 true", "7-101", "7-103", "7-105", "7-107", "7-109", "7-110", "7-111"}},
		{"joined a group late, from a scan", joined, &Resume{After: 100}, 1, []string{"ack 7-100 true", "7-101", "7-103", "7-105", "7-107", "7-109", "7-110", "7-111"}},
		{"joined a group late, no position", joined, nil, 1 << 20, []string{"ack 7-104 false", "7-105", "7-107", "7-109", "7-110", "7-111"}},
		{"verified late", verified, &Resume{After: 100}, 1 << 20, []string{"ack 7-100 true", "7-101", "7-105", "7-106", "7-107", "7-109", "7-110", "7-111"}},
		{"verified late, from a scan", verified, &Resume{After: 100}, 1, []string{"ack 7-100 true", "7-101", "7-105", "7-106", "7-107", "7-109", "7-110", "7-111"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newLogRig(Config{ReplayMemory: c.window})
			round := func() {
				for _, target := range []event.Target{to("g"), {Group: "x"}, {All: true}, to("other")} {
					r.publish(target)
				}
			}
			round()
			r.settle()
			p := &pipe{room: unlimited, live: new(atomic.Int32)}
			registration := p.registration("g", "x")
			registration.Resume, registration.Peer.Barrier = c.from, c.barrier
			r.post(command{register: registration})
			r.settle()
			round() // this node lags behind it
			r.settle()
			r.scan(3)
			round()
			r.settle()
			r.scan(3)
			if diff := cmp.Diff(c.want, p.received()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A gateway that is registered again after its connections were closed has the new
// barrier and the new groups, and not the old ones.
func TestBarrierOfTheNextRegistration(t *testing.T) {
	r := newLogRig(Config{})
	before := r.connect("g", "x")
	r.publish(event.Target{Group: "x"})
	r.settle()
	p := &pipe{room: unlimited, live: new(atomic.Int32)}
	registration := p.registration("g", "y")
	registration.Resume, registration.Peer.Barrier = &Resume{After: 100}, Barrier{Own: 101, All: 101}
	r.post(command{do: func(s *state) { s.kick("g", "", event.GatewayRemoved) }})
	r.post(command{register: registration})
	r.publish(event.Target{Group: "x"})
	r.publish(event.Target{Group: "y"})
	r.settle()
	if diff := cmp.Diff([]string{"ack 7-101 true", "7-103"}, p.received()); diff != "" {
		t.Error(diff)
	}
	if got := before.events(); len(got) != 1 {
		t.Errorf("the one that was removed got %v", got)
	}
}
