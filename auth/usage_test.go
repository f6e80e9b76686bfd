// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
)

func TestLastUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		a, b := open(t, s), open(t, s)
		defer b.Close()
		c := a.add(t, auth.NewGateway{ID: "g", Name: "n"})
		a.addToken(t, c, time.Time{}) // never used
		time.Sleep(time.Second)
		synctest.Wait()
		used := time.Now()
		a.verify(t, c)
		want := func(n *node, at time.Time) {
			t.Helper()
			tokens := n.tokens(t, "g")
			if !tokens[0].LastUsedAt.Equal(at) || !tokens[1].LastUsedAt.IsZero() {
				t.Fatalf("last used at %v and %v; want %v and never", tokens[0].LastUsedAt, tokens[1].LastUsedAt, at)
			}
		}
		want(a, used)
		time.Sleep(time.Minute)
		synctest.Wait()
		want(b, used)
		used = time.Now()
		a.verify(t, c)
		a.Close()
		again := open(t, s)
		defer again.Close()
		want(again, used)
		synctest.Wait()
		want(b, used)
	})
}

// Two nodes that store their uses of one gateway at once keep both.
func TestLastUsedOnTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hook()
		a, b := open(t, s), open(t, s.Store)
		one := a.add(t, auth.NewGateway{ID: "g", Name: "n"})
		two := a.addToken(t, one, time.Time{})
		synctest.Wait()
		a.verify(t, one)
		b.verify(t, two)
		s.set(func(h *hooks) { h.write = func(string) error { b.Close(); return nil } }) // which stores b's
		a.Close()
		again := open(t, s)
		defer again.Close()
		for _, tok := range again.tokens(t, "g") {
			if tok.LastUsedAt.IsZero() {
				t.Error("a use is lost")
			}
		}
	})
}

// Last uses are stored once a minute at most.
func TestLastUsedWrites(t *testing.T) {
	s := hook()
	var writes atomic.Int32
	s.set(func(h *hooks) {
		h.write = func(key string) error {
			if strings.HasPrefix(key, "used.") {
				writes.Add(1)
			}
			return nil
		}
	})
	bubble(t, s, 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		for range 150 {
			n[0].verify(t, c)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if got := writes.Load(); got != 2 {
			t.Errorf("%d writes in 150 seconds", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := writes.Load(); got != 3 {
			t.Errorf("%d writes after a minute more", got)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := writes.Load(); got != 3 {
			t.Errorf("%d writes after ten minutes without a use", got)
		}
	})
}

// A store that fails delays no Verify, is logged once a minute, and has the use
// when it works again.
func TestLastUsedStoreFails(t *testing.T) {
	s := hook()
	bubble(t, s, 1, func(t *testing.T, n []*node) {
		var all []credential
		for range 10 {
			all = append(all, n[0].add(t, auth.NewGateway{Name: "n"}))
		}
		for _, c := range all {
			n[0].verify(t, c)
		}
		s.set(func(h *hooks) { h.write = func(string) error { return errors.New("disk full") } })
		time.Sleep(time.Minute)
		synctest.Wait()
		wantText(t, n[0].logged(), "disk full", "gateways=10")
		if lines := strings.Count(n[0].logged(), "disk full"); lines != 1 {
			t.Errorf("%d lines are logged", lines)
		}
		s.set(func(h *hooks) { h.write = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, _, err := s.Get(t.Context(), "used."+all[0].gateway.ID); err != nil {
			t.Errorf("the use is not stored: %v", err)
		}
	})
}

func TestLastUsedCorrupt(t *testing.T) {
	s := memstore.New()
	bubble(t, s, 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{ID: "g", Name: "n"})
		if _, err := s.Create(t.Context(), "used.g", []byte("rubbish")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantText(t, n[0].logged(), "used.g")
		restarted := open(t, s) // it does not stop a start either
		defer restarted.Close()
		n[0].verify(t, c)
		time.Sleep(time.Minute)
		synctest.Wait()
		if restarted.tokens(t, "g")[0].LastUsedAt.IsZero() {
			t.Error("a corrupt entry is not replaced")
		}
	})
}

// What is known of a gateway's uses goes when it goes; a start finds what stayed.
func TestLastUsedGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		n := open(t, s)
		c := n.add(t, auth.NewGateway{ID: "g", Name: "n"})
		n.verify(t, c)
		time.Sleep(time.Minute)
		synctest.Wait()
		value, _, err := s.Get(t.Context(), "used.g")
		if err != nil {
			t.Fatal(err)
		}
		n.remove(t, "g")
		_, _, err = s.Get(t.Context(), "used.g")
		wantIs(t, err, auth.ErrNotFound)
		n.Close()

		if _, err := s.Create(t.Context(), "used.g", value); err != nil {
			t.Fatal(err)
		}
		n = open(t, s)
		defer n.Close()
		synctest.Wait()
		_, _, err = s.Get(t.Context(), "used.g")
		wantIs(t, err, auth.ErrNotFound)
	})
}
