// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"
)

// The nodes restore a lost store. No connection ends.
func TestRestoreLostStore(t *testing.T) {
	s := memstore.New()
	bubble(t, s, 2, func(t *testing.T, n []*node) {
		kept := n[0].add(t, auth.NewGateway{ID: "kept", Name: "n", OrganizationID: "o", Groups: []string{"g", "h"}})
		other := n[1].add(t, auth.NewGateway{ID: "other", Name: "n"})
		second := n[0].addToken(t, other, time.Now().Add(time.Hour))
		gone := n[1].add(t, auth.NewGateway{ID: "gone", Name: "n"})
		if err := n[0].Remove(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		before := s.Values()
		s.Rollback(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		after := s.Values()
		for _, id := range []string{"gateway.kept", "gateway.other", "meta.barriers"} {
			if string(after[id]) != string(before[id]) || len(after[id]) == 0 {
				t.Errorf("%s is %s; it was %s", id, after[id], before[id])
			}
		}
		for _, n := range n {
			if !n.Synced() {
				t.Error("a node is not in sync")
			}
			for _, c := range []credential{kept, other, second} {
				n.verify(t, c)
				n.wantValid(t, c)
			}
			n.refuse(t, gone)
		}
		// Both nodes can change everything again.
		if err := n[1].RevokeToken(t.Context(), "other", second.token.ID); err != nil {
			t.Fatal(err)
		}
		if err := n[0].Remove(t.Context(), "kept"); err != nil {
			t.Fatal(err)
		}
		added := n[0].add(t, auth.NewGateway{Name: "n"})
		synctest.Wait()
		for _, n := range n {
			n.refuse(t, second)
			n.refuse(t, kept)
			n.wantEnded(t, kept, event.GatewayRemoved)
			n.verify(t, added)
			n.verify(t, other)
		}
		// A node that starts later finds everything.
		late := open(t, s)
		defer late.Close()
		late.verify(t, other)
		late.refuse(t, second)
		if late.Len() != 2 {
			t.Errorf("it knows %d gateways", late.Len())
		}
	})
}

// An older copy of the store does not bring back revoked tokens and removed gateways, as
// long as one node knows of the removal.
func TestRestoreOlderCopy(t *testing.T) {
	s := memstore.New()
	bubble(t, s, 2, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{ID: "a", Name: "n"})
		revoked := n[0].addToken(t, c, time.Time{})
		removed := n[0].add(t, auth.NewGateway{ID: "removed", Name: "n"})
		again := n[0].add(t, auth.NewGateway{ID: "again", Name: "n"})
		same := n[0].add(t, auth.NewGateway{ID: "same", Name: "n"})
		old := s.Values()
		time.Sleep(time.Second) // a registration has another time
		if err := errors.Join(
			n[1].RevokeToken(t.Context(), "a", revoked.token.ID),
			n[1].Remove(t.Context(), "removed"),
			n[0].Remove(t.Context(), "again"),
		); err != nil {
			t.Fatal(err)
		}
		readded := n[0].add(t, auth.NewGateway{ID: "again", Name: "n"})
		newest := n[1].add(t, auth.NewGateway{ID: "newest", Name: "n"})
		synctest.Wait()
		s.Rollback(old)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		late := open(t, s)
		defer late.Close()
		for i, n := range append(n, late) {
			if !n.Synced() {
				t.Errorf("node %d is not in sync", i)
			}
			for _, c := range []credential{c, same, readded, newest} {
				n.verify(t, c)
			}
			for _, c := range []credential{revoked, removed, again} {
				n.refuse(t, c)
			}
		}
	})
}

// While the store cannot be written, the node is not in sync. When the watch ends before
// everything is restored, the node keeps what it knows.
func TestRestoreRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hook()
		n := open(t, s)
		defer n.Close()
		c := n.add(t, auth.NewGateway{ID: "a", Name: "n"})
		d := n.add(t, auth.NewGateway{ID: "b", Name: "n"})
		broken := errors.New("no route to the store")
		s.set(func(h *hooks) { h.write = func(string) error { return broken } })
		s.Rollback(nil)
		for range 3 { // watches that end in between
			time.Sleep(time.Second)
			synctest.Wait()
			if n.Synced() {
				t.Fatal("it is in sync")
			}
			s.Rollback(nil)
		}
		n.verify(t, c)
		s.set(func(h *hooks) { h.write = nil })
		time.Sleep(time.Second)
		synctest.Wait()
		if !n.Synced() {
			t.Error("it is not in sync")
		}
		n.verify(t, c)
		n.verify(t, d)
		if v := s.Values(); len(v["gateway.a"]) == 0 || len(v["gateway.b"]) == 0 {
			t.Errorf("the store has %d keys", len(v))
		}
	})
}

// Barriers are restored too.
func TestRestoreBarriers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		at := event.Cursor{Epoch: 1, Seq: 7}
		n := openWith(t, s, auth.Options{External: true, Position: func(context.Context) (event.Cursor, error) { return at, nil }})
		defer n.Close()
		n.add(t, auth.NewGateway{ID: "a", Name: "n", Groups: []string{"g"}})
		s.Rollback(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		late := openWith(t, s, auth.Options{})
		defer late.Close()
		g, ok := late.Get("a")
		if !ok || g.Barrier.Own != at || g.BarrierFor(event.Target{Group: "g"}) != at {
			t.Errorf("%+v, %v", g, ok)
		}
	})
}

// A node is in sync only while it watches the store.
func TestSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hook()
		ctx, breakWatch := context.WithCancel(t.Context())
		s.set(func(h *hooks) { h.watch = func(context.Context) (context.Context, error) { return ctx, nil } })
		n := open(t, s)
		defer n.Close()
		if !n.Synced() {
			t.Error("it is not in sync when it is open")
		}
		broken := errors.New("no route to the store")
		s.set(func(h *hooks) { h.watch = func(ctx context.Context) (context.Context, error) { return ctx, broken } })
		breakWatch()
		synctest.Wait()
		if n.Synced() {
			t.Error("it is in sync without a watch")
		}
		s.set(func(h *hooks) { h.watch = nil })
		time.Sleep(time.Second)
		synctest.Wait()
		if !n.Synced() {
			t.Error("it is not in sync again")
		}
	})
}
