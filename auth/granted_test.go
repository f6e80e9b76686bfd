// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
)

// A platform's grants are remembered for a day, by all nodes and across restarts, without
// the token. To be remembered is no right to connect.
func TestGrantedTokensAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		p := &platform{says: map[string]auth.Verified{"good": {GatewayID: "g"}, "other": {GatewayID: "h"}}}
		boot := func() (*node, *auth.Verifier) {
			n := openWith(t, store, auth.Options{External: true})
			return n, auth.NewVerifier(n.Registry, "http://platform/verify", p, func(string, time.Duration) {})
		}
		first, verifier := boot()
		second, other := boot()
		defer second.Close()
		if verifier.Known("good") || other.Known("good") {
			t.Error("known before anybody asked")
		}
		for _, token := range []string{"good", "other"} {
			if _, err := verifier.Verify(token); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = verifier.Verify("bad")
		synctest.Wait()
		if !verifier.Known("good") || !other.Known("good") || verifier.Known("bad") || verifier.Known("") {
			t.Error("both nodes know what was granted, and nothing else")
		}
		ctx, cancel := context.WithCancel(t.Context())
		_ = store.Watch(ctx, func(c auth.Change) {
			if c.Synced {
				cancel()
			}
			if strings.Contains(c.Key+string(c.Value), "good") {
				t.Errorf("the store has the token: %s %s", c.Key, c.Value)
			}
		})
		first.Close()
		time.Sleep(23 * time.Hour)
		third, verifier := boot()
		defer third.Close()
		if !verifier.Known("good") {
			t.Error("forgotten by a restart")
		}
		asked := p.asked
		delete(p.says, "good")
		if _, err := verifier.Verify("good"); !errors.Is(err, auth.ErrRefused) || p.asked != asked+1 {
			t.Errorf("%v; asked %d times: a remembered token is not accepted without asking", err, p.asked-asked)
		}
		synctest.Wait()
		if verifier.Known("good") || other.Known("good") || !other.Known("other") {
			t.Error("a refused token is forgotten by all nodes, and no other one")
		}
		time.Sleep(8 * time.Hour)
		if verifier.Known("other") || other.Known("other") {
			t.Error("known for more than a day")
		}
	})
}

// The revocation of what the platform said about a gateway ends the memory of its tokens on
// all nodes.
func TestRevocationForgetsGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		p := &platform{says: map[string]auth.Verified{"a": {GatewayID: "g"}, "b": {GatewayID: "g"}, "other": {GatewayID: "h"}}}
		n := openWith(t, store, auth.Options{External: true})
		defer n.Close()
		second := openWith(t, store, auth.Options{External: true})
		defer second.Close()
		v := auth.NewVerifier(n.Registry, "http://platform/verify", p, func(string, time.Duration) {})
		other := auth.NewVerifier(second.Registry, "http://platform/verify", p, func(string, time.Duration) {})
		for token := range p.says {
			if _, err := v.Verify(token); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if err := n.RevokeVerified("g"); err != nil {
			t.Fatal(err)
		}
		n.ForgetGranted("g")
		synctest.Wait()
		for _, v := range []*auth.Verifier{v, other} {
			if v.Known("a") || v.Known("b") || !v.Known("other") {
				t.Errorf("known: %t, %t, %t", v.Known("a"), v.Known("b"), v.Known("other"))
			}
		}
		if _, err := v.Verify("a"); err != nil { // the platform still grants it
			t.Fatal(err)
		}
		synctest.Wait()
		if !other.Known("a") || other.Known("b") {
			t.Error("a token that is granted again is remembered again")
		}
	})
}
