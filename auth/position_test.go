// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/go-cmp/cmp"
)

// A registration has the log's position in its record. Without a position it fails.
func TestAddStoresPosition(t *testing.T) {
	var seq atomic.Uint64
	unavailable := errors.New("no log")
	position := func(context.Context) (event.Cursor, error) {
		if n := seq.Add(1); n != 3 { // after the registry's own, and g's
			return event.Cursor{Epoch: 1, Seq: n}, nil
		}
		return event.Cursor{}, unavailable
	}
	store := memstore.New()
	n := openWith(t, store, auth.Options{Position: position})
	defer n.Close()
	c := n.add(t, auth.NewGateway{ID: "g", Name: "n"})
	_, _, _, err := n.Add(t.Context(), auth.NewGateway{ID: "h", Name: "n"})
	if wantIs(t, err, unavailable); n.Lookup("h") != nil {
		t.Error("the gateway is registered without a position")
	}
	n.addToken(t, c, time.Time{}) // which keeps the position
	again := open(t, store)
	defer again.Close()
	first := event.Cursor{Epoch: 1, Seq: 2}
	for _, n := range []*node{n, again} {
		if diff := cmp.Diff(auth.Barrier{Own: first, All: first}, n.Lookup("g").Barrier); diff != "" {
			t.Error(diff)
		}
	}
}

// Two nodes that verify a gateway at once agree on its barrier, and so does a node that
// starts later. A corrupt record is replaced.
func TestNodesAgreeOnVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		if _, err := store.Create(t.Context(), "verified.broken", []byte("{")); err != nil {
			t.Fatal(err)
		}
		var seq atomic.Uint64
		position := func(context.Context) (event.Cursor, error) { return event.Cursor{Epoch: 1, Seq: seq.Add(1)}, nil }
		// verifies returns how a new node verifies a token.
		verifies := func() func(string) auth.Barrier {
			n := openWith(t, store, auth.Options{Position: position, External: true})
			t.Cleanup(n.Close)
			p := &platform{says: map[string]auth.Verified{
				"token of g": {GatewayID: "g", Groups: []string{"x"}}, "token of broken": {GatewayID: "broken"},
			}}
			v := auth.NewVerifier(n.Registry, "http://platform/verify", p, func(string, time.Duration) {})
			return func(token string) auth.Barrier {
				g, err := v.Verify(token)
				if err != nil {
					t.Error(err)
					return auth.Barrier{}
				}
				return g.Gateway.Barrier
			}
		}
		a, b := verifies(), verifies()
		for _, token := range []string{"token of g", "token of broken"} {
			other := make(chan auth.Barrier)
			go func() { other <- a(token) }()
			want := b(token)
			if diff := cmp.Diff(want, <-other); diff != "" || want.All.IsZero() {
				t.Error(token, want, diff)
			}
			if diff := cmp.Diff(want, verifies()(token)); diff != "" {
				t.Error(token, diff)
			}
		}
	})
}

// A registry opens also when it cannot store the time of its first open, for example on a
// full disk, and when that entry is corrupt.
func TestOpenWithoutFirstOpen(t *testing.T) {
	full := hook()
	full.set(func(h *hooks) { h.write = func(string) error { return errors.New("no space") } })
	corrupt := memstore.New()
	if _, err := corrupt.Create(t.Context(), "meta.barriers", []byte("?")); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]auth.Store{"full": full, "corrupt": corrupt} {
		n := open(t, s)
		if wantText(t, n.logged(), "meta.barriers"); n.Len() != 0 {
			t.Error(name)
		}
		n.Close()
	}
}
