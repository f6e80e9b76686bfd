// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestAdd(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{ID: "eu-1", Name: "Europe", OrganizationID: "acme", Groups: []string{"prod", "eu", "prod"}})
		want := auth.Gateway{ID: "eu-1", Name: "Europe", OrganizationID: "acme", Groups: []string{"eu", "prod"}, CreatedAt: time.Now().UTC()}
		if diff := cmp.Diff(want, c.gateway); diff != "" {
			t.Errorf("Add (-want +got):\n%s", diff)
		}
		got, ok := n[0].Get("eu-1")
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("Get is %t (-want +got):\n%s", ok, diff)
		}
		if !strings.HasPrefix(c.secret, "gc_") || len(c.secret) != 46 {
			t.Errorf("the secret is not gc_ and 32 bytes of base64url")
		}
		if _, err := uuid.Parse(c.token.ID); err != nil || !c.token.CreatedAt.Equal(time.Now()) || !c.token.ExpiresAt.IsZero() || !c.token.LastUsedAt.IsZero() {
			t.Errorf("the token is %+v", c.token)
		}
		g := n[0].verify(t, c)
		if again := n[0].verify(t, c); g != again {
			t.Error("one token gives two grants")
		}
		if diff := cmp.Diff(want, *g.Gateway); diff != "" {
			t.Errorf("the grant's gateway (-want +got):\n%s", diff)
		}
		if n[0].Len() != 1 {
			t.Errorf("Len is %d", n[0].Len())
		}
	})
}

func TestAddMakesID(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		if _, err := uuid.Parse(c.gateway.ID); err != nil {
			t.Errorf("the id is %q", c.gateway.ID)
		}
	})
}

func TestAddRefuses(t *testing.T) {
	groups := make([]string, auth.MaxGroups+1)
	for i := range groups {
		groups[i] = fmt.Sprint("g", i)
	}
	tests := []struct {
		name  string
		field string
		in    auth.NewGateway
	}{
		{"no name", "name", auth.NewGateway{}},
		{"blank name", "name", auth.NewGateway{Name: "  "}},
		{"long name", "name", auth.NewGateway{Name: strings.Repeat("ä", auth.MaxGatewayName+1)}},
		{"name of two lines", "name", auth.NewGateway{Name: "a\nb"}},
		{"name with an escape", "name", auth.NewGateway{Name: "\x1b[31m"}},
		{"name not UTF-8", "name", auth.NewGateway{Name: "a\xff"}},
		{"id with a dot", "id", auth.NewGateway{Name: "n", ID: "a.b"}},
		{"long id", "id", auth.NewGateway{Name: "n", ID: strings.Repeat("a", 65)}},
		{"organization with a space", "organizationId", auth.NewGateway{Name: "n", OrganizationID: "a b"}},
		{"empty group", "groups[1]", auth.NewGateway{Name: "n", Groups: []string{"a", ""}}},
		{"too many groups", "groups", auth.NewGateway{Name: "n", Groups: groups}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
				_, _, secret, err := n[0].Add(t.Context(), test.in)
				wantField(t, err, test.field)
				if secret != "" || n[0].Len() != 0 {
					t.Error("something was added")
				}
			})
		})
	}
}

func TestAddTakesTheLargest(t *testing.T) {
	groups := make([]string, auth.MaxGroups)
	for i := range groups {
		groups[i] = fmt.Sprintf("%064d", i)
	}
	in := auth.NewGateway{
		ID: strings.Repeat("Z", 64), Name: strings.Repeat("ä", auth.MaxGatewayName),
		OrganizationID: strings.Repeat("_", 64), Groups: groups,
	}
	s := memstore.New()
	var c credential
	bubble(t, s, 1, func(t *testing.T, n []*node) { c = n[0].add(t, in) })
	bubble(t, s, 1, func(t *testing.T, n []*node) { n[0].verify(t, c) })
}

func TestAddTakenID(t *testing.T) {
	bubble(t, memstore.New(), 2, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{ID: "a", Name: "first"})
		_, _, _, err := n[1].Add(t.Context(), auth.NewGateway{ID: "a", Name: "second"})
		wantIs(t, err, auth.ErrConflict)
		wantText(t, err.Error(), "gateway a is already registered")
		n[0].verify(t, c)
	})
}

// What the owner of a list got cannot change the registry.
func TestAddKeepsNothingOfTheCaller(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		groups := []string{"a", "b"}
		n[0].add(t, auth.NewGateway{ID: "g", Name: "n", Groups: groups})
		groups[0] = "changed"
		if g, _ := n[0].Get("g"); !slices.Equal(g.Groups, []string{"a", "b"}) {
			t.Errorf("groups are %v", g.Groups)
		}
	})
}

func TestVerifyRefuses(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		flip := []byte(c.secret)
		flip[20] ^= 1
		for name, secret := range map[string]string{
			"empty": "", "unknown": string(flip), "cut": c.secret[:45], "longer": c.secret + "A",
			"without its prefix": c.secret[3:], "token id": c.token.ID, "gateway id": c.gateway.ID,
			"very long": strings.Repeat("a", 1<<20),
		} {
			if g, ok := n[0].Verify(secret); ok || g != nil {
				t.Errorf("%s: accepted", name)
			}
		}
	})
}

func TestRevokeToken(t *testing.T) {
	bubble(t, memstore.New(), 2, func(t *testing.T, n []*node) {
		old := n[0].add(t, auth.NewGateway{Name: "n"})
		synctest.Wait()
		fresh := n[1].addToken(t, old, time.Time{})
		synctest.Wait()
		grants := []*auth.Grant{n[0].verify(t, old), n[1].verify(t, old)}
		n[1].revoke(t, old)
		n[1].refuse(t, old) // at once
		n[1].wantEnded(t, old, event.TokenRevoked)
		synctest.Wait()
		for i, n := range n { // and everywhere soon
			n.refuse(t, old)
			n.wantEnded(t, old, event.TokenRevoked)
			n.verify(t, fresh)
			n.wantValid(t, fresh)
			if why, revoked := grants[i].Revoked(); !revoked || why != event.TokenRevoked {
				t.Errorf("node %d: the grant's end is %v, %t", i, why, revoked)
			}
		}
		wantIs(t, n[0].RevokeToken(t.Context(), old.gateway.ID, old.token.ID), auth.ErrNotFound)
	})
}

// The last token may go: the gateway stays, and can be given another.
func TestRevokeLastToken(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		n[0].revoke(t, c)
		if got := n[0].tokens(t, c.gateway.ID); len(got) != 0 {
			t.Errorf("tokens left: %v", got)
		}
		n[0].verify(t, n[0].addToken(t, c, time.Time{}))
	})
}

func TestNotFound(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		ctx := t.Context()
		_, _, addErr := n[0].AddToken(ctx, "nobody", time.Time{})
		_, tokensErr := n[0].Tokens("nobody")
		for name, err := range map[string]error{
			"add token": addErr, "tokens": tokensErr,
			"revoke, no gateway": n[0].RevokeToken(ctx, "nobody", c.token.ID),
			"revoke, no token":   n[0].RevokeToken(ctx, c.gateway.ID, uuid.NewString()),
			"remove":             n[0].Remove(ctx, "nobody"),
			"remove, not a name": n[0].Remove(ctx, "no.body >"),
		} {
			if !errors.Is(err, auth.ErrNotFound) {
				t.Errorf("%s: error %v", name, err)
			}
		}
		if _, ok := n[0].Get("nobody"); ok {
			t.Error("Get found nobody")
		}
	})
}

// Whoever takes the secret for the token's id does not find it in a log later.
func TestErrorsKeepSecrets(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		err := n[0].RevokeToken(t.Context(), c.gateway.ID, c.secret)
		wantIs(t, err, auth.ErrNotFound)
		if strings.Contains(err.Error(), c.secret) {
			t.Error("the error contains the secret")
		}
	})
}

func TestRemove(t *testing.T) {
	bubble(t, memstore.New(), 2, func(t *testing.T, n []*node) {
		one := n[0].add(t, auth.NewGateway{ID: "g", Name: "n", Groups: []string{"all-of-them"}})
		two := n[0].addToken(t, one, time.Time{})
		synctest.Wait()
		grant := n[0].verify(t, one)
		n[0].remove(t, "g")
		for range 2 {
			for _, c := range []credential{one, two} {
				n[0].refuse(t, c)
				n[0].wantEnded(t, c, event.GatewayRemoved)
			}
			synctest.Wait()
			n[0], n[1] = n[1], n[0]
		}
		if why, revoked := grant.Revoked(); !revoked || why != event.GatewayRemoved {
			t.Errorf("the grant's end is %v, %t", why, revoked)
		}
		if targets, _, _ := n[0].Reach(event.Target{Group: "all-of-them"}); targets != 0 || n[0].Len() != 0 {
			t.Error("the gateway is still there")
		}
		wantIs(t, n[1].Remove(t.Context(), "g"), auth.ErrNotFound)
	})
}

// A gateway that is added again owes nothing to the one before it.
func TestRemoveAndAddAgain(t *testing.T) {
	bubble(t, memstore.New(), 2, func(t *testing.T, n []*node) {
		old := n[0].add(t, auth.NewGateway{ID: "g", Name: "n"})
		before := n[0].verify(t, old)
		before.Live.Add(1)
		n[0].remove(t, "g")
		again := n[0].add(t, auth.NewGateway{ID: "g", Name: "n"})
		for range 2 {
			n[0].refuse(t, old)
			n[0].wantValid(t, again)
			after := n[0].verify(t, again)
			if after == before || after.Live == before.Live || after.Gateway == before.Gateway {
				t.Error("the grants share something")
			}
			if _, connected, _ := n[0].Reach(event.Target{GatewayIDs: []string{"g"}}); connected != 0 {
				t.Error("a connection of the old one counts")
			}
			synctest.Wait()
			n[0], n[1] = n[1], n[0]
		}
	})
}

func TestTwoTokens(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		one := n[0].add(t, auth.NewGateway{Name: "n"})
		two := n[0].addToken(t, one, time.Now().Add(time.Hour))
		_, secret, err := n[0].AddToken(t.Context(), one.gateway.ID, time.Time{})
		wantIs(t, err, auth.ErrTooManyTokens)
		wantText(t, err.Error(), "revoke one first")
		if secret != "" {
			t.Error("a secret comes with the error")
		}
		if n[0].verify(t, one).Live != n[0].verify(t, two).Live {
			t.Error("tokens of one gateway do not share its live count")
		}

		time.Sleep(time.Hour)
		three := n[0].addToken(t, one, time.Time{}) // the expired one makes room
		var ids []string
		for _, tok := range n[0].tokens(t, one.gateway.ID) {
			ids = append(ids, tok.ID)
		}
		if want := []string{one.token.ID, three.token.ID}; !slices.Equal(ids, want) {
			t.Errorf("tokens are %v; want %v", ids, want)
		}
		n[0].wantEnded(t, two, event.TokenExpired)
	})
}

func TestAddTokenRefuses(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		for _, at := range []time.Time{time.Now(), time.Now().Add(-time.Hour), time.Unix(0, 0), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)} {
			_, _, err := n[0].AddToken(t.Context(), c.gateway.ID, at)
			wantField(t, err, "expiresAt")
		}
	})
}

// OnRevoke is called after Grant.Revoked has changed.
func TestRevokedBeforeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var grant *auth.Grant
		calls := 0
		r, err := auth.Open(t.Context(), memstore.New(), auth.Options{OnRevoke: func(rev auth.Revocation) {
			why, revoked := grant.Revoked()
			if !revoked || why != rev.Reason || rev.GatewayID != "g" || rev.TokenID != grant.TokenID {
				t.Errorf("called with %+v, and the grant has %v, %t", rev, why, revoked)
			}
			calls++
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		_, _, secret, err := r.Add(t.Context(), auth.NewGateway{ID: "g", Name: "n"})
		if err != nil {
			t.Fatal(err)
		}
		grant, _ = r.Verify(secret)
		if err := r.Remove(t.Context(), "g"); err != nil || calls != 1 {
			t.Errorf("error %v; %d calls when Remove returned", err, calls)
		}
	})
}

func TestReach(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		for i, groups := range [][]string{{"x"}, {"x", "y"}, {"y"}, nil} {
			c := n[0].add(t, auth.NewGateway{ID: fmt.Sprint("g", i), Name: "n", Groups: groups})
			n[0].verify(t, c).Live.Add(int32(i)) // so all but g0 are connected, some twice
		}
		tests := []struct {
			name               string
			target             event.Target
			targets, connected int
			unknown            string
		}{
			{"one, connected", event.Target{GatewayIDs: []string{"g1"}}, 1, 1, ""},
			{"one, not connected", event.Target{GatewayIDs: []string{"g0"}}, 1, 0, ""},
			{"one, unknown", event.Target{GatewayIDs: []string{"nobody"}}, 0, 0, "nobody"},
			{"some", event.Target{GatewayIDs: []string{"g0", "g1", "g2"}}, 3, 2, ""},
			{"some, unknown", event.Target{GatewayIDs: []string{"g1", "nobody", "none"}}, 0, 0, "nobody"},
			{"group", event.Target{Group: "x"}, 2, 1, ""},
			{"other group", event.Target{Group: "y"}, 2, 2, ""},
			{"group of nobody", event.Target{Group: "z"}, 0, 0, ""},
			{"all", event.Target{All: true}, 4, 3, ""},
		}
		for _, test := range tests {
			targets, connected, unknown := n[0].Reach(test.target)
			if targets != test.targets || connected != test.connected || unknown != test.unknown {
				t.Errorf("%s: %d, %d, %q; want %d, %d, %q", test.name, targets, connected, unknown, test.targets, test.connected, test.unknown)
			}
		}
		n[0].remove(t, "g1")
		if targets, _, _ := n[0].Reach(event.Target{Group: "x"}); targets != 1 {
			t.Errorf("the group has %d gateways after one was removed", targets)
		}
	})
}

func TestList(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		if page, next := n[0].List("", 10); len(page) != 0 || page == nil || next != "" {
			t.Errorf("an empty registry lists %v, %q", page, next)
		}
		for _, id := range []string{"d", "b", "a", "c", "e"} {
			n[0].add(t, auth.NewGateway{ID: id, Name: "n"})
		}
		tests := []struct {
			after string
			limit int
			ids   string
			next  string
		}{
			{"", 2, "ab", "b"}, {"b", 2, "cd", "d"}, {"d", 2, "e", ""},
			{"", 5, "abcde", ""}, {"", 1000, "abcde", ""}, {"bb", 1, "c", "c"},
			{"e", 5, "", ""}, {"zzz", 5, "", ""}, {"", 0, "a", "a"}, {"", -1, "a", "a"},
		}
		for _, test := range tests {
			page, next := n[0].List(test.after, test.limit)
			ids := ""
			for _, g := range page {
				ids += g.ID
			}
			if ids != test.ids || next != test.next {
				t.Errorf("List(%q, %d) = %s, %q; want %s, %q", test.after, test.limit, ids, next, test.ids, test.next)
			}
		}
	})
}

func TestGatewayJSON(t *testing.T) {
	g := auth.Gateway{ID: "a", Name: "n", CreatedAt: time.Date(2026, 1, 2, 4, 4, 5, 6, time.FixedZone("", 3600))}
	b, err := json.Marshal(g)
	want := `{"id":"a","name":"n","organizationId":"","groups":[],"createdAt":"2026-01-02T03:04:05.000000006Z"}`
	if err != nil || string(b) != want {
		t.Errorf("got  %s, %v\nwant %s", b, err, want)
	}
	var back auth.Gateway
	if err := json.Unmarshal(b, &back); err != nil || !back.CreatedAt.Equal(g.CreatedAt) {
		t.Errorf("read back: %+v, %v", back, err)
	}
}

// The store and the log never hold a secret.
func TestSecretsStayOut(t *testing.T) {
	s := hook()
	stored := ""
	s.set(func(h *hooks) { h.change = func(c auth.Change) { stored += string(c.Value) } })
	bubble(t, s, 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		n[0].verify(t, c)
		n[0].remove(t, c.gateway.ID)
		time.Sleep(time.Minute)
		synctest.Wait()
		for name, text := range map[string]string{"store": stored, "log": n[0].logged()} {
			wantText(t, text, c.token.ID)
			if strings.Contains(text, c.secret[3:]) {
				t.Errorf("the %s holds the secret", name)
			}
		}
	})
}

func TestClose(t *testing.T) {
	bubble(t, memstore.New(), 1, func(t *testing.T, n []*node) {
		c := n[0].add(t, auth.NewGateway{Name: "n"})
		n[0].Close()
		n[0].Close()
		n[0].verify(t, c) // reads go on
		if _, _, err := n[0].AddToken(context.Background(), c.gateway.ID, time.Time{}); err == nil {
			t.Error("a closed registry takes changes")
		}
	})
}
