// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"
)

// These tests are about stores that are slow, late, broken or gone.

// A corrupt entry lets nobody in, and keeps no other gateway out. The log says which it
// is; removing its gateway removes it.
func TestOpenCorrupt(t *testing.T) {
	tests := []struct{ name, value, says string }{
		{"nothing", "", "not the JSON of a gateway"},
		{"not JSON", "{", "not the JSON of a gateway"},
		{"not an object", "[]", "not the JSON of a gateway"},
		{"not UTF-8", "\xff", "not the JSON of a gateway"},
		{"null", "null", "not the id of its key"},
		{"wrong types", `{"id":["a"],"name":1}`, "not the JSON of a gateway"},
		{"another's", `{"id":"b","name":"n","createdAt":"2026-01-01T00:00:00Z"}`, "not the id of its key"},
		{"no name", `{"id":"a","createdAt":"2026-01-01T00:00:00Z"}`, "name: is missing"},
		{"a token without a digest", `{"id":"a","name":"n","createdAt":"2026-01-01T00:00:00Z","tokens":[{"id":"eda0d877-874b-40a8-ad53-aea8909943df","createdAt":"2026-01-01T00:00:00Z"}]}`, "sha256: is missing"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := memstore.New()
			before := open(t, s)
			other := before.add(t, auth.NewGateway{ID: "other", Name: "n"})
			was := before.add(t, auth.NewGateway{ID: "a", Name: "n"})
			before.Close()
			_, revision, err := s.Get(t.Context(), "gateway.a")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Update(t.Context(), "gateway.a", []byte(test.value), revision); err != nil {
				t.Fatal(err)
			}
			var reported []error
			n := openWith(t, s, auth.Options{OnCorrupt: func(err error) { reported = append(reported, err) }})
			defer n.Close()
			n.verify(t, other)
			n.refuse(t, was)
			wantText(t, n.logged(), "gateway.a", test.says, "remove its gateway")
			if len(reported) != 1 {
				t.Errorf("reported %v", reported)
			}
			if _, _, _, err := n.Registry.Add(t.Context(), auth.NewGateway{ID: "a", Name: "n"}); !errors.Is(err, auth.ErrConflict) {
				t.Errorf("adding it: %v", err)
			}
			if err := n.Remove(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			n.verify(t, n.add(t, auth.NewGateway{ID: "a", Name: "n"}))
			n.refuse(t, was)
		})
	}
}

func TestOpenFails(t *testing.T) {
	broken := errors.New("no route to the store")
	s := hook()
	s.set(func(h *hooks) { h.watch = func(ctx context.Context) (context.Context, error) { return ctx, broken } })
	_, err := auth.Open(t.Context(), s, auth.Options{})
	wantIs(t, err, broken)
}

// A store whose servers have no leader yet can be read a little later.
func TestOpenIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hook()
		broken, watches, reads := errors.New("no leader"), 0, 0
		s.set(func(h *hooks) {
			h.watch = func(ctx context.Context) (context.Context, error) {
				if watches++; watches < 4 {
					return ctx, broken
				}
				return ctx, nil
			}
			h.get = func(string) error {
				if reads++; reads < 4 {
					return broken
				}
				return nil
			}
		})
		r, err := auth.Open(t.Context(), s, auth.Options{RetryFor: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if r.Close(); watches != 4 || reads != 4 {
			t.Errorf("watched %d and read %d times, want 4 and 4", watches, reads)
		}
		watches = math.MinInt
		began := time.Now()
		_, err = auth.Open(t.Context(), s, auth.Options{RetryFor: 10 * time.Second})
		wantIs(t, err, broken)
		if tried := time.Since(began); tried < 10*time.Second || tried > 11*time.Second {
			t.Errorf("tried for %v, want 10 s", tried)
		}
	})
}

func TestOpenTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hook()
		s.set(func(h *hooks) {
			h.watch = func(ctx context.Context) (context.Context, error) { <-ctx.Done(); return ctx, ctx.Err() }
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := auth.Open(ctx, s, auth.Options{})
		wantIs(t, err, context.DeadlineExceeded)
	})
}

// The context of Open is not the registry's.
func TestOpenContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := auth.Open(ctx, memstore.New(), auth.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		cancel()
		synctest.Wait()
		if _, _, _, err := r.Add(t.Context(), auth.NewGateway{Name: "n"}); err != nil {
			t.Error(err)
		}
	})
}

func TestIgnoresOtherKeys(t *testing.T) {
	s := memstore.New()
	for _, key := range []string{"gatewayx", "other.a", "used"} {
		if _, err := s.Create(t.Context(), key, []byte("{")); err != nil {
			t.Fatal(err)
		}
	}
	bubble(t, s, 1, func(t *testing.T, n []*node) { n[0].add(t, auth.NewGateway{Name: "n"}) })
}

func TestCorruptLater(t *testing.T) {
	s := memstore.New()
	bubble(t, s, 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{ID: "a", Name: "n"})
		good, revision, err := s.Get(t.Context(), "gateway.a")
		if err != nil {
			t.Fatal(err)
		}
		if revision, err = s.Update(t.Context(), "gateway.a", []byte("rubbish"), revision); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n[0].verify(t, c)
		n[0].wantValid(t, c)
		wantText(t, n[0].logged(), "gateway.a", "level=ERROR")
		_, _, err = n[0].AddToken(t.Context(), "a", time.Time{})
		wantText(t, err.Error(), "gateway.a", "corrupt")

		if _, err = s.Update(t.Context(), "gateway.a", good, revision); err != nil { // repaired
			t.Fatal(err)
		}
		n[0].addToken(t, c, time.Time{})
	})
}

// A change that comes between reading and writing is kept.
func TestConflictTriesAgain(t *testing.T) {
	s := hook()
	bubble(t, s, 2, func(t *testing.T, n []*node) {
		old := n[0].add(t, auth.NewGateway{Name: "n"})
		var between credential
		s.set(func(h *hooks) {
			h.write = func(string) error {
				s.set(func(h *hooks) { h.write = nil })
				between = n[1].addToken(t, old, time.Time{})
				return nil
			}
		})
		n[0].revoke(t, old)
		synctest.Wait()
		for _, n := range n {
			n.refuse(t, old)
			n.verify(t, between)
		}
	})
}

func TestConflictForever(t *testing.T) {
	s := hook()
	bubble(t, s, 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		s.set(func(h *hooks) { h.write = func(string) error { return auth.ErrConflict } })
		_, _, err := n[0].AddToken(t.Context(), c.gateway.ID, time.Time{})
		wantIs(t, err, auth.ErrConflict)
		wantText(t, err.Error(), "try again")
		wantIs(t, n[0].Remove(t.Context(), c.gateway.ID), auth.ErrConflict)
	})
}

// When the store is out of reach nothing changes, and gateways still connect.
func TestStoreOutOfReach(t *testing.T) {
	gone := errors.New("no route to the store")
	s := hook()
	bubble(t, s, 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{ID: "g", Name: "n"})
		s.set(func(h *hooks) { h.get = func(string) error { return gone }; h.write = h.get })
		_, _, _, addErr := n[0].Add(t.Context(), auth.NewGateway{Name: "n"})
		_, _, tokenErr := n[0].AddToken(t.Context(), "g", time.Time{})
		for _, err := range []error{addErr, tokenErr, n[0].RevokeToken(t.Context(), "g", c.token.ID), n[0].Remove(t.Context(), "g")} {
			wantIs(t, err, gone)
		}
		n[0].verify(t, c)
		n[0].wantValid(t, c)
		if n[0].Len() != 1 {
			t.Error("a gateway was added that the store does not have")
		}
	})
}

// A gate lets a watch report one change at a time.
type gate struct {
	mu   sync.Mutex
	open bool
	step chan struct{}
}

func (g *gate) pass(auth.Change) {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	if !open {
		<-g.step
	}
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	g.open = open
	g.mu.Unlock()
}

// A node knows its own changes at once, and what the watch reports later does not
// take them back, even for a moment.
func TestOwnChangesBeforeTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hook()
		g := &gate{open: true, step: make(chan struct{})}
		s.set(func(h *hooks) { h.change = g.pass })
		n := open(t, s)
		defer n.Close()
		synctest.Wait()
		g.set(false)

		c := n.add(t, auth.NewGateway{ID: "g", Name: "n"})
		n.verify(t, c)
		second := n.addToken(t, c, time.Time{})
		n.verify(t, second)
		n.revoke(t, c)
		n.refuse(t, c)
		n.remove(t, "g")
		n.refuse(t, second)
		again := n.add(t, auth.NewGateway{ID: "g", Name: "n"})

		for range 7 { // added, token added, token buried and revoked, the other one buried, removed, added
			g.step <- struct{}{}
			synctest.Wait()
			n.refuse(t, c)
			n.refuse(t, second)
			n.verify(t, again)
			n.wantEnded(t, c, event.TokenRevoked)
			n.wantEnded(t, second, event.GatewayRemoved)
			n.wantValid(t, again)
		}
		g.set(true)
	})
}

// A removed gateway does not come back when the watch reports late that it was
// added.
func TestRemovedStaysRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hook()
		g := &gate{open: true, step: make(chan struct{})}
		s.set(func(h *hooks) { h.change = g.pass })
		n := open(t, s)
		defer n.Close()
		synctest.Wait()
		g.set(false)
		c := n.add(t, auth.NewGateway{ID: "g", Name: "n"})
		n.remove(t, "g")
		for range 3 { // added, token buried, removed
			g.step <- struct{}{}
			synctest.Wait()
			n.refuse(t, c)
			if n.Len() != 0 {
				t.Error("the gateway is back")
			}
		}
		g.set(true)
	})
}

// A watch that breaks is begun again, and what changed meanwhile is found out.
func TestWatchBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.New()
		other := open(t, shared)
		defer other.Close()
		s := &hooked{Store: shared}
		var breakWatch context.CancelFunc
		s.set(func(h *hooks) {
			h.watch = func(ctx context.Context) (context.Context, error) {
				ctx, breakWatch = context.WithCancel(ctx)
				return ctx, nil
			}
		})
		n := open(t, s)
		defer n.Close()
		stays := other.add(t, auth.NewGateway{ID: "stays", Name: "n"})
		goes := other.add(t, auth.NewGateway{ID: "goes", Name: "n"})
		turns := other.add(t, auth.NewGateway{ID: "turns", Name: "n"})
		synctest.Wait()
		grant := n.verify(t, stays)

		breakWatch()
		synctest.Wait()
		other.remove(t, "goes")
		other.remove(t, "turns")
		turned := other.add(t, auth.NewGateway{ID: "turns", Name: "n"})
		comes := other.add(t, auth.NewGateway{ID: "comes", Name: "n"})
		synctest.Wait()
		n.verify(t, goes) // as it cannot know better
		time.Sleep(time.Second)
		synctest.Wait()
		for _, c := range []credential{stays, turned, comes} {
			n.verify(t, c)
			n.wantValid(t, c)
		}
		if n.verify(t, stays) != grant {
			t.Error("a gateway that stayed has another grant")
		}
		n.refuse(t, goes)
		n.wantEnded(t, goes, event.GatewayRemoved)
		n.refuse(t, turns)
		if len(n.endings(turns.token.ID)) != 1 || n.Len() != 3 {
			t.Errorf("ended %v; %d gateways", n.endings(turns.token.ID), n.Len())
		}
		wantText(t, n.logged(), "the watch of the store ended")
	})
}

// An entry that is corrupt in a new watch does not count as removed.
func TestCorruptWhileWatchBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hook()
		ctx, breakWatch := context.WithCancel(t.Context())
		s.set(func(h *hooks) { h.watch = func(context.Context) (context.Context, error) { return ctx, nil } })
		n := open(t, s)
		defer n.Close()
		c := n.add(t, auth.NewGateway{ID: "g", Name: "n"})
		s.set(func(h *hooks) { h.watch = nil })
		breakWatch()
		synctest.Wait()
		_, revision, err := s.Get(t.Context(), "gateway.g")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Update(t.Context(), "gateway.g", []byte("rubbish"), revision); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		wantText(t, n.logged(), "corrupt")
		n.verify(t, c)
		n.wantValid(t, c)
	})
}

// What this node removes while a new watch begins is not missed by it.
func TestRemoveWhileWatchBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hook()
		ctx, breakWatch := context.WithCancel(t.Context())
		s.set(func(h *hooks) { h.watch = func(context.Context) (context.Context, error) { return ctx, nil } })
		n := open(t, s)
		defer n.Close()
		goes := n.add(t, auth.NewGateway{ID: "goes", Name: "n"})
		stays := n.add(t, auth.NewGateway{ID: "stays", Name: "n"})
		s.set(func(h *hooks) {
			h.watch = func(ctx context.Context) (context.Context, error) {
				return ctx, n.Remove(ctx, "goes")
			}
		})
		breakWatch()
		time.Sleep(time.Second)
		synctest.Wait()
		n.refuse(t, goes)
		n.wantEnded(t, goes, event.GatewayRemoved)
		n.verify(t, stays)
		n.wantValid(t, stays)
	})
}
