// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"
)

// A signer admits signed tokens on nodes that share a store, on a clock that moves when all
// is quiet.
type signer struct {
	t     *testing.T
	store *memstore.Store
	key   atomic.Bool // withdrawn
}

func signed(t *testing.T, f func(t *testing.T, s *signer)) {
	synctest.Test(t, func(t *testing.T) { f(t, &signer{t: t, store: memstore.New()}) })
}

func (s *signer) node() *node { return openWith(s.t, s.store, auth.Options{External: true}) }

// admit admits the token of a gateway, which is valid for an hour.
func (s *signer) admit(n *node, token string, v auth.Verified, issuedAt time.Time) (*auth.Grant, error) {
	v.ExpiresAt = time.Now().Add(time.Hour)
	g, err := n.AdmitSigned(token, v, auth.Signature{IssuedAt: issuedAt, Withdrawn: &s.key})
	synctest.Wait()
	return g, err
}

func (s *signer) admitted(n *node, token string, v auth.Verified, issuedAt time.Time) *auth.Grant {
	s.t.Helper()
	g, err := s.admit(n, token, v, issuedAt)
	if err != nil {
		s.t.Fatal(err)
	}
	return g
}

func (s *signer) refused(n *node, token string, v auth.Verified, issuedAt time.Time) {
	s.t.Helper()
	if g, err := s.admit(n, token, v, issuedAt); g != nil || !errors.Is(err, auth.ErrRefused) {
		s.t.Errorf("%s: %v, %v; want it refused", token, g, err)
	}
}

func wantGateway(t *testing.T, g *auth.Grant, org string, groups ...string) {
	t.Helper()
	if got := g.Gateway; got.OrganizationID != org || !slices.Equal(got.Groups, groups) {
		t.Errorf("organization %q, groups %v; want %q, %v", got.OrganizationID, got.Groups, org, groups)
	}
}

// The token that was issued last decides, in whichever order and on whichever node they
// come, and after a restart.
func TestSignedNewestDecides(t *testing.T) {
	signed(t, func(t *testing.T, s *signer) {
		a, b := s.node(), s.node()
		first := time.Now()
		old := auth.Verified{GatewayID: "g", OrganizationID: "acme", Groups: []string{"x"}}
		x := s.admitted(a, "old", old, first)
		wantGateway(t, x, "acme", "x")
		y := s.admitted(b, "new", auth.Verified{GatewayID: "g", Groups: []string{"y"}}, first.Add(2*time.Second))
		wantGateway(t, y, "", "y")
		wantReason(t, x, event.GatewayChanged) // on the other node
		for _, n := range []*node{a, b} {
			wantGateway(t, s.admitted(n, "old", old, first), "", "y")
			wantGateway(t, s.admitted(n, "of no date", auth.Verified{GatewayID: "g", Groups: []string{"z"}}, time.Time{}), "", "y")
			wantGateway(t, s.admitted(n, "between", auth.Verified{GatewayID: "g"}, first.Add(time.Second)), "", "y")
			if targets, _, _ := n.Reach(event.Target{Group: "x"}); targets != 0 {
				t.Error("the old token has brought its group back")
			}
		}
		wantGrant(t, y, s.admitted(b, "new", auth.Verified{GatewayID: "g", Groups: []string{"y"}}, first.Add(2*time.Second)))

		// Newer, and the same: nothing ends, but what was between is old from now on.
		same := s.admitted(a, "same", auth.Verified{GatewayID: "g", Groups: []string{"y"}}, first.Add(4*time.Second))
		wantGateway(t, s.admitted(b, "late", old, first.Add(3*time.Second)), "", "y")
		wantGrant(t, y, y)
		wantGrant(t, same, same)
		a.Close()
		b.Close()
		c := s.node()
		defer c.Close()
		wantGateway(t, s.admitted(c, "late", old, first.Add(3*time.Second)), "", "y")
		wantGateway(t, s.admitted(c, "newest", old, first.Add(5*time.Second)), "acme", "x")
	})
}

// Revoked tokens end on every node, and stay refused after a restart and after the store
// has gone back. Tokens issued later are accepted.
func TestSignedRevoked(t *testing.T) {
	signed(t, func(t *testing.T, s *signer) {
		a, b := s.node(), s.node()
		g, h := auth.Verified{GatewayID: "g"}, auth.Verified{GatewayID: "h"}
		issued := time.Now()
		ahead := issued.Add(20 * time.Second) // by its issuer's clock
		x, y, other := s.admitted(a, "x", g, issued), s.admitted(b, "y", g, ahead), s.admitted(b, "h", h, issued)
		before := s.store.Values()
		time.Sleep(time.Second)
		for _, id := range []string{"g", "unseen"} {
			if err := a.RevokeSigned(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		wantReason(t, x, event.TokenRevoked)
		wantReason(t, y, event.TokenRevoked)
		wantGrant(t, other, other)
		refusesAll := func(n *node) {
			t.Helper()
			s.refused(n, "x", g, issued)
			s.refused(n, "y", g, ahead)
			s.refused(n, "of no date", g, time.Time{})
			s.refused(n, "unseen", auth.Verified{GatewayID: "unseen"}, issued)
		}
		refusesAll(a)
		refusesAll(b)
		s.store.Rollback(before)
		time.Sleep(time.Minute)
		refusesAll(a)
		refusesAll(b)
		a.Close()
		b.Close()
		c := s.node()
		defer c.Close()
		refusesAll(c)
		wantGateway(t, s.admitted(c, "later", auth.Verified{GatewayID: "g", Groups: []string{"z"}}, ahead.Add(time.Second)), "", "z")
		s.admitted(c, "first", auth.Verified{GatewayID: "unseen"}, time.Now().Add(time.Second))
		refusesAll(c) // a newer token does not bring older ones back
	})
}

// A gateway whose tokens were revoked before its first verification still begins there.
func TestSignedRevokedBarrier(t *testing.T) {
	signed(t, func(t *testing.T, s *signer) {
		position := event.Cursor{Epoch: 1, Seq: 1}
		n := openWith(t, s.store, auth.Options{External: true, Position: func(context.Context) (event.Cursor, error) { return position, nil }})
		defer n.Close()
		if err := n.RevokeSigned(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		position.Seq = 50
		g := s.admitted(n, "x", auth.Verified{GatewayID: "g", Groups: []string{"x"}}, time.Now().Add(time.Second))
		if all, group := g.Gateway.BarrierFor(event.Target{All: true}), g.Gateway.BarrierFor(event.Target{Group: "x"}); all != position || group != position {
			t.Errorf("it begins at %v and %v, want %v", all, group, position)
		}
	})
}

// When a key is withdrawn, the tokens it signed end, and no others.
func TestSignedWithdrawn(t *testing.T) {
	signed(t, func(t *testing.T, s *signer) {
		n := s.node()
		defer n.Close()
		x := s.admitted(n, "x", auth.Verified{GatewayID: "g"}, time.Now())
		stays := new(signer)
		stays.t = t
		y := stays.admitted(n, "y", auth.Verified{GatewayID: "g"}, time.Now())
		s.key.Store(true)
		if err := n.EndWithdrawn(); err != nil {
			t.Fatal(err)
		}
		wantReason(t, x, event.TokenRevoked)
		wantGrant(t, y, y)
		s.refused(n, "x", auth.Verified{GatewayID: "g"}, time.Now())
	})
}

// A registered gateway keeps what the registry says. Its signed tokens can be revoked.
func TestSignedAndRegistered(t *testing.T) {
	signed(t, func(t *testing.T, s *signer) {
		n := s.node()
		defer n.Close()
		n.add(t, auth.NewGateway{ID: "g", Name: "g", Groups: []string{"registered"}})
		v := auth.Verified{GatewayID: "g", Groups: []string{"signed"}}
		issued := time.Now()
		x := s.admitted(n, "x", v, issued)
		wantGateway(t, x, "", "registered")
		if err := n.RevokeSigned(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		wantReason(t, x, event.TokenRevoked)
		s.refused(n, "x", v, issued)
		y := s.admitted(n, "y", v, issued.Add(time.Second))
		n.remove(t, "g")
		wantReason(t, y, event.GatewayRemoved)
		wantGateway(t, s.admitted(n, "y", v, issued.Add(time.Second)), "", "signed")
		s.refused(n, "x", v, issued)
	})
}

// Many connections of a gateway that nobody knows yet can come at once.
func TestSignedAtOnce(t *testing.T) {
	signed(t, func(t *testing.T, s *signer) {
		a, b := s.node(), s.node()
		defer a.Close()
		defer b.Close()
		v := auth.Verified{GatewayID: "g", Groups: []string{"x"}, ExpiresAt: time.Now().Add(time.Hour)}
		for i := range 40 {
			go func() {
				n := []*node{a, b}[i%2]
				if _, err := n.AdmitSigned("x", v, auth.Signature{IssuedAt: time.Now(), Withdrawn: &s.key}); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
	})
}
