// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/go-cmp/cmp"
)

// platformToken is a token as a platform makes it: any visible ASCII characters.
func platformToken(name string) string { return name + "-a-token-of-the-platform:{~!}" }

// digestOf is the digest that a platform has of its token.
func digestOf(name string) auth.TokenDigest {
	return auth.TokenDigest{SHA256: sha256.Sum256([]byte(platformToken(name)))}
}

func named(name string, tokens ...auth.TokenDigest) auth.GatewayChange {
	return auth.GatewayChange{Name: &name, Tokens: tokens}
}

// put and importOne return what an Import answers.
func (n *node) put(id string, c auth.GatewayChange) (auth.Outcome, error) {
	im, err := n.BeginImport(context.Background())
	if err != nil {
		return 0, err
	}
	_, done, err := im.Put(context.Background(), id, c)
	return done, err
}

func (n *node) importOne(id string, c auth.GatewayChange) (auth.Outcome, error) {
	im, err := n.BeginImport(context.Background())
	if err != nil {
		return 0, err
	}
	_, done, err := im.Add(context.Background(), id, c)
	return done, err
}

func wantOutcome(t *testing.T, want auth.Outcome) func(auth.Outcome, error) {
	t.Helper()
	return func(got auth.Outcome, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
}

// wantConflict checks that a digest was refused, and what the error says.
func wantConflict(t *testing.T, says string) func(auth.Outcome, error) {
	t.Helper()
	return func(_ auth.Outcome, err error) {
		t.Helper()
		d, ok := errors.AsType[*auth.DigestConflict](err)
		if !ok || !errors.Is(err, auth.ErrConflict) || d.Field != "tokens[0].sha256" || !strings.Contains(d.Problem, says) {
			t.Errorf("error %v; want a conflict that says %q", err, says)
		}
	}
}

// holder returns the gateway that a platform's token belongs to, "" for none.
func (n *node) holder(name string) string {
	if g, ok := n.Verify(platformToken(name)); ok {
		return g.Gateway.ID
	}
	return ""
}

func wantHolder(t *testing.T, n *node, name, want string) {
	t.Helper()
	if got := n.holder(name); got != want {
		t.Errorf("the token %s is of gateway %q; want %q", name, got, want)
	}
}

// An import keeps ids and dates, on every node and after a restart, and changes nothing
// when it is repeated. It neither revives a revoked token nor drops a rotated one.
func TestImport(t *testing.T) {
	store := memstore.New()
	bubble(t, store, 2, func(t *testing.T, n []*node) {
		made := time.Date(2021, 3, 4, 5, 6, 7, 8, time.UTC)
		until := time.Now().Add(time.Hour).UTC().Round(0)
		a := digestOf("a")
		a.ID, a.CreatedAt, a.ExpiresAt = "tok_1", made, until
		org := "acme"
		file := auth.GatewayChange{OrganizationID: &org, Groups: []string{"y", "x", "y"}, CreatedAt: made, Tokens: []auth.TokenDigest{a}}
		file.Name = &org
		wantOutcome(t, auth.Created)(n[0].importOne("g", file))
		synctest.Wait()
		wantOutcome(t, auth.Unchanged)(n[1].importOne("g", file))
		again := open(t, store)
		defer again.Close()
		want := []auth.ExportedGateway{{
			Gateway: auth.Gateway{ID: "g", Name: "acme", OrganizationID: "acme", Groups: []string{"x", "y"}, CreatedAt: made},
			Tokens:  []auth.TokenDigest{a},
		}}
		for _, n := range []*node{n[0], n[1], again} {
			wantHolder(t, n, "a", "g")
			got, next := n.Export("", 10)
			if diff := cmp.Diff(want, got); diff != "" || next != "" {
				t.Error(diff, next)
			}
		}

		// The platform rotates: b replaces a.
		if err := n[0].RevokeToken(t.Context(), "g", "tok_1"); err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, auth.Updated)(n[0].put("g", auth.GatewayChange{Tokens: []auth.TokenDigest{digestOf("b")}}))
		synctest.Wait()
		wantOutcome(t, auth.Unchanged)(n[1].importOne("g", file))
		wantConflict(t, "revoked")(n[1].put("g", auth.GatewayChange{Tokens: []auth.TokenDigest{a}}))
		wantConflict(t, "revoked")(n[1].importOne("h", named("h", a)))
		wantHolder(t, n[1], "a", "")
		wantHolder(t, n[1], "b", "g")

		// What a removed gateway had stays revoked too.
		n[0].remove(t, "g")
		synctest.Wait()
		wantConflict(t, "revoked")(n[1].importOne("g", named("g", digestOf("b"))))
		wantHolder(t, n[1], "b", "")
	})
}

// Put creates without a token, changes what is given and keeps the rest. Connections stay
// as far as the change allows.
func TestPut(t *testing.T) {
	bubble(t, memstore.New(), 2, func(t *testing.T, n []*node) {
		wantOutcome(t, auth.Created)(n[0].put("g", named("one", digestOf("a"), digestOf("b"))))
		tokens, err := n[0].Tokens("g")
		if err != nil || len(tokens) != 2 {
			t.Fatal(tokens, err)
		}
		synctest.Wait()
		a, _ := n[1].Verify(platformToken("a"))
		valid := func(want bool) {
			t.Helper()
			synctest.Wait()
			if _, ended := a.Revoked(); ended == want {
				t.Errorf("the grant is valid: %t; want %t", !ended, want)
			}
		}
		wantOutcome(t, auth.Unchanged)(n[0].put("g", auth.GatewayChange{}))
		wantOutcome(t, auth.Unchanged)(n[0].put("g", named("one")))
		wantOutcome(t, auth.Updated)(n[0].put("g", named("two")))
		wantOutcome(t, auth.Updated)(n[0].put("g", auth.GatewayChange{CreatedAt: time.Unix(1e9, 0)}))
		valid(true)
		if g, _ := n[1].Get("g"); g.Name != "two" || !g.CreatedAt.Equal(time.Unix(1e9, 0)) {
			t.Errorf("the gateway is %+v", g)
		}
		// Exactly the tokens given: a keeps its id and its connections, c replaces b.
		wantOutcome(t, auth.Updated)(n[0].put("g", auth.GatewayChange{Tokens: []auth.TokenDigest{digestOf("a"), digestOf("c")}}))
		valid(true)
		for name, want := range map[string]string{"a": "g", "b": "", "c": "g"} {
			wantHolder(t, n[1], name, want)
		}
		if got := n[1].endings(tokens[slices.IndexFunc(tokens, func(o auth.Token) bool { return o.ID != a.TokenID })].ID); !slices.Equal(got, []event.CloseReason{event.TokenRevoked}) {
			t.Errorf("b ended with %v", got)
		}
		// Other groups: connections come back in them, and the tokens stay.
		wantOutcome(t, auth.Updated)(n[0].put("g", auth.GatewayChange{Groups: []string{"eu"}}))
		valid(false)
		wantHolder(t, n[1], "a", "g")
		if targets, _, _ := n[1].Reach(event.Target{Group: "eu"}); targets != 1 {
			t.Error("the gateway is not in its group")
		}
		if got := n[1].endings(a.TokenID); !slices.Equal(got, []event.CloseReason{event.GatewayChanged}) {
			t.Errorf("a ended with %v", got)
		}
		wantOutcome(t, auth.Updated)(n[0].put("g", auth.GatewayChange{Tokens: []auth.TokenDigest{}}))
		synctest.Wait()
		wantHolder(t, n[1], "a", "")
	})
}

// What a gateway joins begins at the log's position of the change, and what it was in
// already stays as it was.
func TestPutBarriers(t *testing.T) {
	var seq atomic.Uint64
	position := func(context.Context) (event.Cursor, error) { return event.Cursor{Epoch: 1, Seq: seq.Load()}, nil }
	store := memstore.New()
	n := openWith(t, store, auth.Options{Position: position})
	defer n.Close()
	put := func(at uint64, org string, groups ...string) {
		t.Helper()
		seq.Store(at)
		name := "n"
		if _, err := n.put("g", auth.GatewayChange{Name: &name, OrganizationID: &org, Groups: groups}); err != nil {
			t.Fatal(err)
		}
	}
	at := func(seq uint64) event.Cursor { return event.Cursor{Epoch: 1, Seq: seq} }
	put(2, "acme", "a", "b")
	put(3, "acme", "b", "c")
	put(4, "other", "a", "b")
	want := auth.Barrier{Own: at(2), All: at(2), Organization: at(4), Groups: []event.Cursor{at(4), at(2)}}
	again := open(t, store)
	defer again.Close()
	for _, n := range []*node{n, again} {
		if diff := cmp.Diff(want, n.Lookup("g").Barrier); diff != "" {
			t.Error(diff)
		}
	}
}

// Of two nodes that import one digest for two gateways at once, one succeeds.
func TestImportRace(t *testing.T) {
	for range 50 {
		bubble(t, memstore.New(), 2, func(t *testing.T, n []*node) {
			var errs [2]error
			var both sync.WaitGroup
			for i := range n {
				both.Go(func() { _, errs[i] = n[i].importOne(fmt.Sprint("g", i), named("n", digestOf("a"))) })
			}
			both.Wait()
			synctest.Wait()
			winner := slices.Index(errs[:], nil)
			if winner < 0 || errs[1-winner] == nil {
				t.Fatalf("errors %v; want one conflict", errs)
			}
			wantIs(t, errs[1-winner], auth.ErrConflict)
			for _, n := range n {
				wantHolder(t, n, "a", fmt.Sprint("g", winner))
			}
			if n[0].Len() != 1 {
				t.Errorf("%d gateways", n[0].Len())
			}
		})
	}
}

// A digest that another gateway has is refused, also one of a token that a registry made,
// and one that an import left over less than a minute ago.
func TestDigestOfAnother(t *testing.T) {
	store := memstore.New()
	bubble(t, store, 2, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{ID: "g", Name: "n"})
		synctest.Wait()
		wantConflict(t, "belongs to gateway g")(n[1].importOne("h", named("h", auth.TokenDigest{SHA256: sha256.Sum256([]byte(c.secret))})))
		if _, ok := n[1].Get("h"); ok {
			t.Error("h was created")
		}
		wantOutcome(t, auth.Created)(n[1].importOne("h", named("h", digestOf("h"))))

		// A claim without a gateway, as after a crash.
		d := digestOf("a")
		claim := fmt.Appendf(nil, `{"gatewayId":"gone","at":%q}`, time.Now().Format(time.RFC3339Nano))
		if _, err := store.Create(t.Context(), "token."+hex.EncodeToString(d.SHA256[:]), claim); err != nil {
			t.Fatal(err)
		}
		wantConflict(t, "being imported")(n[0].importOne("i", named("i", d)))
		time.Sleep(2 * time.Minute)
		wantOutcome(t, auth.Created)(n[0].importOne("i", named("i", d)))
		wantHolder(t, n[0], "a", "i")
		// A conflict of the second token releases the claim of the first.
		wantIs(t, func() error { _, err := n[0].importOne("j", named("j", digestOf("j"), d)); return err }(), auth.ErrConflict)
		wantOutcome(t, auth.Created)(n[0].importOne("k", named("k", digestOf("j"))))
	})
}

// Records that share a digest, as only a store that was restored can have, authenticate
// neither gateway until one of them is gone.
func TestContestedDigest(t *testing.T) {
	store := memstore.New()
	d := digestOf("a")
	for _, id := range []string{"g", "h", "i"} {
		record := fmt.Appendf(nil, `{"id":%q,"name":"n","createdAt":"2026-01-01T00:00:00Z","tokens":[{"id":"t","sha256":"%x","createdAt":"2026-01-01T00:00:00Z"}]}`, id, d.SHA256)
		if _, err := store.Create(t.Context(), "gateway."+id, record); err != nil {
			t.Fatal(err)
		}
	}
	bubble(t, store, 1, func(t *testing.T, n []*node) {
		wantHolder(t, n[0], "a", "")
		n[0].remove(t, "i")
		wantHolder(t, n[0], "a", "")
		n[0].remove(t, "g")
		wantHolder(t, n[0], "a", "h")
		if !strings.Contains(n[0].logged(), "two gateways have the same token") {
			t.Error("nothing was logged")
		}
	})
}

// Invalid changes name the field.
func TestImportRefused(t *testing.T) {
	n := open(t, memstore.New())
	defer n.Close()
	bad, name := "a b", "n"
	for _, c := range []struct {
		field string
		id    string
		c     auth.GatewayChange
	}{
		{"id", "", named("n")},
		{"id", bad, named("n")},
		{"name", "g", auth.GatewayChange{}},
		{"organizationId", "g", auth.GatewayChange{Name: &name, OrganizationID: &bad}},
		{"groups[0]", "g", auth.GatewayChange{Name: &name, Groups: []string{bad}}},
		{"createdAt", "g", auth.GatewayChange{Name: &name, CreatedAt: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{"tokens", "g", named("n", digestOf("a"), digestOf("b"), digestOf("c"))},
		{"tokens[1].sha256", "g", named("n", digestOf("a"), auth.TokenDigest{})},
		{"tokens[1]", "g", named("n", digestOf("a"), digestOf("a"))},
		{"tokens[0].id", "g", named("n", auth.TokenDigest{ID: bad, SHA256: digestOf("a").SHA256})},
		{"tokens[0].expiresAt", "g", named("n", auth.TokenDigest{SHA256: digestOf("a").SHA256, ExpiresAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)})},
	} {
		_, err := n.put(c.id, c.c)
		if f, ok := errors.AsType[*event.FieldError](err); !ok || f.Field != c.field {
			t.Errorf("%s: error %v", c.field, err)
		}
	}
	if n.Len() != 0 {
		t.Error("a gateway was created")
	}
}

// A token is 16 to 4,096 visible characters of ASCII, in whatever form.
func TestTokenForms(t *testing.T) {
	for token, want := range map[string]bool{
		strings.Repeat("x", 15): false, strings.Repeat("x", 16): true, strings.Repeat("~", 128): true,
		strings.Repeat("!", 129): true, strings.Repeat("x", 4096): true, strings.Repeat("x", 4097): false,
		"0123456789abcde ": false, "0123456789abcde\x7f": false, "0123456789abcdé": false,
	} {
		n := open(t, memstore.New())
		sum := sha256.Sum256([]byte(token))
		if _, err := n.put("g", named("n", auth.TokenDigest{SHA256: sum})); err != nil {
			t.Fatal(err)
		}
		if _, ok := n.Verify(token); ok != want {
			t.Errorf("a token of %d characters is valid: %t", len(token), ok)
		}
		n.Close()
	}
}
