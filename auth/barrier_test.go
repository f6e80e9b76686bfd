// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func at(seq uint64) event.Cursor { return event.Cursor{Epoch: 1, Seq: seq} }

// The record follows the platform's answers, from one verification to the next.
func TestVerifiedRecordNext(t *testing.T) {
	first := func(groups ...string) Verified {
		return Verified{GatewayID: "g", OrganizationID: "acme", Groups: groups}
	}
	for _, c := range []struct {
		name string
		says []Verified
		want Barrier // of the groups that the last one names
	}{
		{"first", []Verified{first("x", "y")}, Barrier{All: at(1)}},
		{"no groups", []Verified{first()}, Barrier{All: at(1)}},
		{"joined", []Verified{first("x"), first("x", "y")}, Barrier{All: at(1), Groups: []event.Cursor{at(1), at(2)}}},
		{"left", []Verified{first("x", "y"), first("y")}, Barrier{All: at(1)}},
		{"left and joined again", []Verified{first("x"), first(), first("x")}, Barrier{All: at(1), Groups: []event.Cursor{at(3)}}},
		{"moved", []Verified{first("x"), {GatewayID: "g", OrganizationID: "other", Groups: []string{"x"}}},
			Barrier{Own: at(2), All: at(2)}},
		{"its organization is not named, and then is again", []Verified{first("x"), {GatewayID: "g"}, first()}, Barrier{All: at(1), Organization: at(3)}},
		{"its organization is named later", []Verified{{GatewayID: "g"}, first()}, Barrier{All: at(1), Organization: at(2)}},
		{"it stays in its organization", []Verified{{GatewayID: "g"}, first(), first("x")},
			Barrier{All: at(1), Organization: at(2), Groups: []event.Cursor{at(3)}}},
		{"moved while it was in none", []Verified{first(), {GatewayID: "g"}, {GatewayID: "g", OrganizationID: "other"}},
			Barrier{Own: at(3), All: at(3)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r *verifiedRecord
			for i, v := range c.says {
				if r.covers(v) {
					continue
				}
				if r = r.next(v, at(uint64(i+1))); !r.covers(v) {
					t.Fatalf("%+v does not cover %+v", r, v)
				}
				again, err := parseVerifiedRecord("g", r.encode())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); diff != "" {
					t.Fatal(diff)
				}
				if got := again.verified().OrganizationID; got != v.OrganizationID {
					t.Fatalf("it is in the organization %q, want %q", got, v.OrganizationID)
				}
			}
			if diff := cmp.Diff(c.want, r.barrier(c.says[len(c.says)-1].Groups)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A gateway that an earlier version can have verified has no record. In the first hour
// after the first open, its barrier is the position of the first open.
func TestInitialBarrier(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		start firstOpen
		after time.Duration
		want  event.Cursor
	}{
		{"soon after an upgrade", firstOpen{at(5), began}, time.Minute, at(5)},
		{"late after it", firstOpen{at(5), began}, 2 * time.Hour, at(9)},
		{"the log was empty", firstOpen{at(0), began}, time.Minute, at(9)},
		{"the log had only its own mark", firstOpen{at(1), began}, time.Minute, at(9)},
		{"another log", firstOpen{event.Cursor{Epoch: 2, Seq: 5}, began}, time.Minute, at(9)},
		{"unknown", firstOpen{}, time.Minute, at(9)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.start.initialBarrier(at(9), began.Add(c.after)); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestBarrierFor(t *testing.T) {
	g := Gateway{ID: "g", Groups: []string{"x", "y"}, Barrier: Barrier{Own: at(1), All: at(2), Groups: []event.Cursor{at(3), at(4)}}}
	plain := Gateway{ID: "g", Groups: []string{"x"}, OrganizationID: "o", Barrier: Barrier{Own: at(1), All: at(2)}}
	moved := Gateway{ID: "g", OrganizationID: "o", Barrier: Barrier{Own: at(1), All: at(2), Organization: at(5)}}
	for _, c := range []struct {
		g    *Gateway
		t    event.Target
		want uint64
	}{
		{&g, event.Target{GatewayIDs: []string{"g"}}, 1}, {&g, event.Target{All: true}, 2},
		{&g, event.Target{Group: "x"}, 3}, {&g, event.Target{Group: "y"}, 4}, {&plain, event.Target{Group: "x"}, 2},
		{&plain, event.Target{OrganizationID: "o"}, 2}, {&moved, event.Target{OrganizationID: "o"}, 5}, {&moved, event.Target{All: true}, 2},
	} {
		if got := c.g.BarrierFor(c.t); got != at(c.want) {
			t.Errorf("the barrier of %+v is %v, want %d", c.t, got, c.want)
		}
	}
}

// Every change of a gateway ends its old grants before the new ones can be found.
func TestGrantsEndBeforeNewOnes(t *testing.T) {
	r := newRig()
	old, next := r.gateway(0), r.gateway(0)
	next.RegisteredAt = at(7) // it differs in nothing else
	r.put(old, 1, r.now)
	ended := 0
	r.onRevoke = func(Revocation) {
		if ended++; r.dir.grant(next.Tokens[0].SHA256) != nil {
			t.Error("the new grant exists already")
		}
	}
	r.put(next, 2, r.now)
	if ended != 1 || r.dir.grant(next.Tokens[0].SHA256) == nil {
		t.Errorf("%d ended", ended)
	}
}

// A gateway that another node has verified gets groups and barriers from its record. The
// record can arrive before and after the other node's report.
func TestVerifiedByAnotherNode(t *testing.T) {
	rec := (*verifiedRecord)(nil).next(Verified{GatewayID: "g", Groups: []string{"x"}}, at(7))
	for name, steps := range map[string][]func(*rig){
		"the record first": {
			func(r *rig) { r.putVerified("g", storedVerified{rec, 3}) },
			func(r *rig) { r.addExternal("g") },
		},
		"the connection first": {
			func(r *rig) { r.addExternal("g") },
			func(r *rig) { r.putVerified("g", storedVerified{rec, 3}) },
			func(r *rig) { r.putVerified("g", storedVerified{nil, 2}) }, // late
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig()
			for _, step := range steps {
				step(r)
			}
			want := &Gateway{ID: "g", Groups: []string{"x"}, Barrier: Barrier{All: at(7)}}
			if diff := cmp.Diff(want, r.dir.entry("g").gateway); diff != "" {
				t.Error(diff)
			}
		})
	}
}
