// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"pgregory.net/rapid"
)

// A rig is a registryState that records its revocations.
type rig struct {
	*registryState
	now   time.Time
	ended []Revocation
}

func newRig() *rig {
	r := &rig{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	r.registryState = newRegistryState(newDirectory(false), Options{
		Logger:   slog.New(slog.DiscardHandler),
		OnRevoke: func(rev Revocation) { r.ended = append(r.ended, rev) },
	})
	r.endWatch(r.now)
	return r
}

// gateway returns a record of gateway g with a token for each expiry.
func (r *rig) gateway(expiries ...time.Duration) *record {
	rec := &record{ID: "g", Name: "n", CreatedAt: r.now}
	for _, d := range expiries {
		t, _ := newToken(r.now, time.Time{})
		if d != 0 {
			t.ExpiresAt = r.now.Add(d)
		}
		rec.Tokens = append(rec.Tokens, t)
	}
	return rec
}

// Changes of a gateway arrive in any order, and each any number of times. The newest one
// decides.
func TestRegistryStateAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRig()
		base := r.gateway(0, 0)
		last := rapid.IntRange(1, 6).Draw(t, "changes")
		gone := rapid.SliceOfN(rapid.Bool(), last+1, last+1).Draw(t, "gone")
		order := rapid.SliceOfN(rapid.IntRange(1, last), 0, 20).Draw(t, "order")
		newest := 0
		for _, revision := range order {
			newest = max(newest, revision)
			if gone[revision] {
				r.remove("g", uint64(revision), r.now)
				continue
			}
			rec := *base
			rec.Tokens = base.Tokens[:revision%3]
			r.put(&rec, uint64(revision), r.now)
		}
		e := r.dir.entry("g")
		if want := newest != 0 && !gone[newest]; (e != nil) != want {
			t.Fatalf("the gateway exists: %t; want %t", e != nil, want)
		}
		if e != nil && len(e.grants) != newest%3 {
			t.Fatalf("%d tokens; want those of revision %d", len(e.grants), newest)
		}
	})
}

// A removal counts also when an older change is reported after it.
func TestRegistryStateLateOwnWrite(t *testing.T) {
	r := newRig()
	rec := r.gateway(0)
	r.remove("g", 11, r.now)
	r.put(rec, 10, r.now)
	if r.dir.len() != 0 {
		t.Error("the gateway came back")
	}
	r.put(rec, 12, r.now)
	if r.dir.len() != 1 {
		t.Error("the gateway cannot be added again")
	}
}

// Removals are remembered for removalTTL.
func TestRegistryStateForgetsRemovals(t *testing.T) {
	r := newRig()
	r.remove("g", 1, r.now)
	r.tick(r.now.Add(removalTTL))
	if len(r.removed) != 1 {
		t.Error("forgotten too soon")
	}
	r.tick(r.now.Add(removalTTL + 2*maxWait))
	if len(r.removed) != 0 {
		t.Error("not forgotten")
	}
}

// A gateway that was removed and added again between two reports of the watch is another
// gateway.
func TestRegistryStateReplaced(t *testing.T) {
	r := newRig()
	first, second := r.gateway(0), r.gateway(0)
	first.Groups, second.Groups = []string{"x", "y"}, []string{"y"}
	second.CreatedAt = first.CreatedAt.Add(time.Second)
	r.put(first, 1, r.now)
	old := r.dir.entry("g")
	r.put(second, 3, r.now)
	e := r.dir.entry("g")
	for _, target := range []event.Target{{All: true}, {Group: "y"}} {
		if targets, _, _ := r.dir.reach(target); targets != 1 {
			t.Errorf("%+v reaches %d gateways", target, targets)
		}
	}
	if targets, _, _ := r.dir.reach(event.Target{Group: "x"}); targets != 0 {
		t.Error("the gateway is still in a group of the old one")
	}
	if e.presence == old.presence || e.gateway == old.gateway {
		t.Error("the gateways share something")
	}
	want := []Revocation{{GatewayID: "g", TokenID: old.grants[0].TokenID, Reason: event.GatewayRemoved}}
	if !slices.Equal(r.ended, want) {
		t.Errorf("ended %v; want %v", r.ended, want)
	}
}

// A token that another node dropped as expired ends with TokenExpired here too.
func TestRegistryStateDroppedAsExpired(t *testing.T) {
	r := newRig()
	rec := r.gateway(time.Hour, 0)
	r.put(rec, 1, r.now)
	r.now = r.now.Add(time.Hour)
	without := *rec
	without.Tokens = rec.Tokens[1:]
	r.put(&without, 2, r.now)
	r.tick(r.now)
	want := []Revocation{{GatewayID: "g", TokenID: rec.Tokens[0].ID, Reason: event.TokenExpired}}
	if !slices.Equal(r.ended, want) {
		t.Errorf("ended %v; want %v", r.ended, want)
	}
}

// The store's order of keys does not matter: usages can arrive before their gateway.
func TestRegistryStateEarlyUsage(t *testing.T) {
	r := newRig()
	r.loaded = false
	rec := r.gateway(0)
	at := r.now.Add(-time.Hour)
	r.applyUsage(storedUsage{"g", usage{rec.Tokens[0].ID: at}, 2})
	r.applyUsage(storedUsage{"nobody", usage{"x": at}, 3})
	r.put(rec, 1, r.now)
	orphans := r.endWatch(r.now)
	if got := r.dir.entry("g").grants[0].token().LastUsedAt; !got.Equal(at) {
		t.Errorf("last used at %v; want %v", got, at)
	}
	if len(orphans) != 1 || orphans[0].id != "nobody" || orphans[0].revision != 3 {
		t.Errorf("orphans are %v", orphans)
	}
	if len(r.dir.unsaved()) != 0 {
		t.Error("a use from the store would be stored again")
	}
}

// Grants end in the order of their expiry and in time. Grants that end for another reason
// leave the heap. The state never sleeps longer than until the next expiry.
func TestRegistryStateExpiry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRig()
		standing := make(map[string]time.Time) // by gateway
		for step := range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch id := fmt.Sprint("g", rapid.IntRange(0, 9).Draw(t, "id")); rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				rec := r.gateway(rapid.SampledFrom([]time.Duration{1, time.Second, time.Minute, time.Hour}).Draw(t, "expiry"))
				rec.ID = id
				r.put(rec, uint64(step+1), r.now)
				standing[id] = rec.Tokens[0].ExpiresAt
			case 1:
				r.remove(id, uint64(step+1), r.now)
				delete(standing, id)
			case 2:
				r.now = r.now.Add(rapid.SampledFrom([]time.Duration{time.Second, 2 * time.Minute}).Draw(t, "time"))
			}
			wait := r.tick(r.now)
			for id, at := range standing {
				if !r.now.Before(at) {
					delete(standing, id)
				} else if until := at.Sub(r.now); wait > max(until, minWait) {
					t.Fatalf("sleeps %v with an expiry in %v", wait, until)
				}
			}
			checkHeap(t, r, standing)
		}
	})
}

func checkHeap(t *rapid.T, r *rig, standing map[string]time.Time) {
	if len(r.expiries) != len(standing) {
		t.Fatalf("%d grants wait for their expiry; want %d", len(r.expiries), len(standing))
	}
	for i, g := range r.expiries {
		if g.heapIndex != i || !standing[g.Gateway.ID].Equal(g.expiresAt) {
			t.Fatalf("the grant of %s has index %d in the heap, and heapIndex %d", g.Gateway.ID, i, g.heapIndex)
		}
	}
}

// Nothing of a removed gateway stays in the directory.
func TestDirectoryLeavesNothing(t *testing.T) {
	r := newRig()
	for i := range 100 {
		rec := r.gateway(0, time.Hour)
		rec.ID, rec.Groups = fmt.Sprint("g", i), []string{"x", fmt.Sprint("y", i)}
		r.put(rec, 1, r.now)
	}
	for i := range 100 {
		r.remove(fmt.Sprint("g", i), 2, r.now)
	}
	d := r.dir
	if n := len(d.entries) + len(d.all) + len(d.grants) + len(d.groups) + d.registered.Len() + len(r.expiries); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}
