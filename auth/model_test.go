// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"

	"pgregory.net/rapid"
)

// Two nodes with random operations agree with a model, and with each other, whenever no
// operation is in progress. They also agree on the revocations.
func TestModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(t *rapid.T) {
			s := memstore.New()
			m := &model{store: s, nodes: []*node{open(t, s), open(t, s)}, gateways: make(map[string]*modelGateway)}
			defer func() {
				for _, n := range m.nodes {
					n.Close()
				}
			}()
			t.Repeat(map[string]func(*rapid.T){
				"":         m.check,
				"add":      m.add,
				"remove":   m.remove,
				"addToken": m.addToken,
				"revoke":   m.revoke,
				"sleep":    m.sleep,
				"restart":  m.restart,
				"race":     m.race,
			})
		})
	})
}

// A bubbled hides the *testing.T from rapid: in a bubble its Deadline panics.
type bubbled struct{ rapid.TB }

type model struct {
	store    auth.Store
	nodes    []*node
	gateways map[string]*modelGateway
	tokens   []*modelToken // all tokens, also ended ones
}

type modelGateway struct {
	gateway auth.Gateway
	tokens  []*modelToken // in the registry, expired or not
}

type modelToken struct {
	credential
	end   *event.CloseReason // nil: valid
	ended map[*node]bool     // nodes that knew the token when it ended
}

var modelIDs = []string{"a", "b", "c"}

func (m *model) node(t *rapid.T) *node { return rapid.SampledFrom(m.nodes).Draw(t, "node") }

// live returns the tokens of a gateway that have not expired.
func (g *modelGateway) live() (tokens []*modelToken) {
	for _, tok := range g.tokens {
		if tok.end == nil {
			tokens = append(tokens, tok)
		}
	}
	return tokens
}

// put adds a token to the model.
func (m *model) put(g *modelGateway, c credential) {
	tok := &modelToken{credential: c, ended: make(map[*node]bool)}
	g.tokens = append(g.live(), tok)
	m.tokens = append(m.tokens, tok)
}

func (m *model) end(tok *modelToken, why event.CloseReason) {
	if tok.end != nil {
		return
	}
	tok.end = &why
	for _, n := range m.nodes {
		tok.ended[n] = true
	}
}

func (m *model) add(t *rapid.T) {
	id := rapid.SampledFrom(modelIDs).Draw(t, "id")
	groups := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "y"}), 0, 2, rapid.ID).Draw(t, "groups")
	g, tok, secret, err := m.node(t).Add(context.Background(), auth.NewGateway{ID: id, Name: "n", Groups: groups})
	if m.gateways[id] != nil {
		wantIs(t, err, auth.ErrConflict)
		return
	}
	if err != nil {
		t.Fatalf("Add(%s): %v", id, err)
	}
	m.gateways[id] = &modelGateway{gateway: g}
	m.put(m.gateways[id], credential{g, tok, secret})
}

func (m *model) remove(t *rapid.T) {
	id := rapid.SampledFrom(modelIDs).Draw(t, "id")
	err := m.node(t).Remove(context.Background(), id)
	g := m.gateways[id]
	if g == nil {
		wantIs(t, err, auth.ErrNotFound)
		return
	}
	if err != nil {
		t.Fatalf("Remove(%s): %v", id, err)
	}
	m.removed(id)
}

func (m *model) removed(id string) {
	for _, tok := range m.gateways[id].tokens {
		m.end(tok, event.GatewayRemoved)
	}
	delete(m.gateways, id)
}

func (m *model) addToken(t *rapid.T) {
	id := rapid.SampledFrom(modelIDs).Draw(t, "id")
	var expiresAt time.Time
	if s := rapid.IntRange(0, 180).Draw(t, "seconds"); s > 0 {
		expiresAt = time.Now().Add(time.Duration(s) * time.Second)
	}
	tok, secret, err := m.node(t).AddToken(context.Background(), id, expiresAt)
	switch g := m.gateways[id]; {
	case g == nil:
		wantIs(t, err, auth.ErrNotFound)
	case len(g.live()) == auth.MaxTokens:
		wantIs(t, err, auth.ErrTooManyTokens)
	case err != nil:
		t.Fatalf("AddToken(%s): %v", id, err)
	default:
		m.put(g, credential{g.gateway, tok, secret})
	}
}

func (m *model) revoke(t *rapid.T) {
	if len(m.tokens) == 0 {
		t.Skip("no token")
	}
	tok := rapid.SampledFrom(m.tokens).Draw(t, "token")
	id := tok.gateway.ID
	err := m.node(t).RevokeToken(context.Background(), id, tok.token.ID)
	if g := m.gateways[id]; g == nil || !slices.Contains(g.tokens, tok) {
		wantIs(t, err, auth.ErrNotFound)
		return
	}
	if err != nil {
		t.Fatalf("RevokeToken: %v", err)
	}
	m.revoked(tok)
}

func (m *model) revoked(tok *modelToken) {
	m.end(tok, event.TokenRevoked)
	g := m.gateways[tok.gateway.ID]
	g.tokens = slices.DeleteFunc(g.tokens, func(o *modelToken) bool { return o == tok })
}

func (m *model) sleep(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
	for _, g := range m.gateways {
		for _, tok := range g.tokens {
			if at := tok.token.ExpiresAt; !at.IsZero() && !time.Now().Before(at) {
				m.end(tok, event.TokenExpired)
			}
		}
	}
}

func (m *model) restart(t *rapid.T) {
	i := rapid.IntRange(0, len(m.nodes)-1).Draw(t, "index")
	used := make(map[string]time.Time)
	for id := range m.gateways {
		for _, tok := range m.nodes[i].tokens(t, id) {
			used[tok.ID] = tok.LastUsedAt
		}
	}
	m.nodes[i].Close()
	m.nodes[i] = open(t, m.store)
	for id := range m.gateways {
		for _, tok := range m.nodes[i].tokens(t, id) {
			if tok.LastUsedAt.Before(used[tok.ID]) {
				t.Fatalf("token %s was last used at %v, and after a restart at %v", tok.ID, used[tok.ID], tok.LastUsedAt)
			}
		}
	}
}

// race calls one operation many times at once, on both nodes.
func (m *model) race(t *rapid.T) {
	id := rapid.SampledFrom(modelIDs).Draw(t, "id")
	g := m.gateways[id]
	const callers = 6
	switch what := rapid.SampledFrom([]string{"add", "remove", "addToken", "revoke"}).Draw(t, "what"); {
	case what == "add" && g == nil:
		won := m.together(t, callers, auth.ErrConflict, func(n *node) (credential, error) {
			g, tok, secret, err := n.Add(context.Background(), auth.NewGateway{ID: id, Name: "n"})
			return credential{g, tok, secret}, err
		}, 1)
		m.gateways[id] = &modelGateway{gateway: won[0].gateway}
		m.put(m.gateways[id], won[0])
	case what == "remove" && g != nil:
		m.together(t, callers, auth.ErrNotFound, func(n *node) (credential, error) {
			return credential{}, n.Remove(context.Background(), id)
		}, 1)
		m.removed(id)
	case what == "addToken" && g != nil:
		won := m.together(t, callers, auth.ErrTooManyTokens, func(n *node) (credential, error) {
			tok, secret, err := n.AddToken(context.Background(), id, time.Time{})
			return credential{g.gateway, tok, secret}, err
		}, auth.MaxTokens-len(g.live()))
		m.wonTokens(t, g, won)
	case what == "revoke" && g != nil && len(g.tokens) > 0:
		tok := g.tokens[0]
		m.together(t, callers, auth.ErrNotFound, func(n *node) (credential, error) {
			return credential{}, n.RevokeToken(context.Background(), id, tok.token.ID)
		}, 1)
		m.revoked(tok)
	default:
		t.Skip("nothing to race for")
	}
}

// wonTokens adds tokens of a race to the model, in the order that the registry has.
func (m *model) wonTokens(t *rapid.T, g *modelGateway, won []credential) {
	synctest.Wait()
	order := make(map[string]int)
	for i, tok := range m.nodes[0].tokens(t, g.gateway.ID) {
		order[tok.ID] = i
	}
	slices.SortFunc(won, func(a, b credential) int { return order[a.token.ID] - order[b.token.ID] })
	for _, c := range won {
		m.put(g, c)
	}
}

// together calls f at once on both nodes, and returns the results without an error. There
// must be want of them. The other calls must return the error lost.
func (m *model) together(t *rapid.T, callers int, lost error, f func(*node) (credential, error), want int) (won []credential) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	for i := range callers {
		wg.Go(func() {
			c, err := f(m.nodes[i%len(m.nodes)])
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, c)
			} else if !errors.Is(err, lost) {
				failed = err
			}
		})
	}
	wg.Wait()
	if failed != nil || len(won) != want {
		t.Fatalf("%d of %d calls succeeded, want %d; error %v", len(won), callers, want, failed)
	}
	return won
}

func (m *model) check(t *rapid.T) {
	synctest.Wait()
	for i, n := range m.nodes {
		if n.Len() != len(m.gateways) {
			t.Fatalf("node %d has %d gateways; want %d", i, n.Len(), len(m.gateways))
		}
		m.checkList(t, n)
		m.checkTokens(t, n)
		m.checkReach(t, n)
		for _, tok := range m.tokens {
			m.checkToken(t, n, tok)
		}
	}
}

func (m *model) checkList(t *rapid.T, n *node) {
	var ids []string
	for after := ""; ; {
		page, next := n.List(after, 2)
		for _, g := range page {
			ids = append(ids, g.ID)
			if !slices.Equal(g.Groups, m.gateways[g.ID].gateway.Groups) {
				t.Fatalf("gateway %s is in %v", g.ID, g.Groups)
			}
		}
		if after = next; next == "" {
			break
		}
	}
	if want := slices.Sorted(maps.Keys(m.gateways)); !slices.Equal(ids, want) {
		t.Fatalf("the list is %v; want %v", ids, want)
	}
}

func (m *model) checkTokens(t *rapid.T, n *node) {
	for id, g := range m.gateways {
		var got, want []string
		for _, tok := range n.tokens(t, id) {
			got = append(got, tok.ID+fmt.Sprint(tok.ExpiresAt))
		}
		for _, tok := range g.tokens {
			want = append(want, tok.token.ID+fmt.Sprint(tok.token.ExpiresAt))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("gateway %s has tokens %v; want %v", id, got, want)
		}
		if len(g.live()) > 2 {
			t.Fatalf("gateway %s has %d live tokens", id, len(g.live()))
		}
	}
}

func (m *model) checkReach(t *rapid.T, n *node) {
	for _, group := range []string{"x", "y"} {
		want := 0
		for _, g := range m.gateways {
			if slices.Contains(g.gateway.Groups, group) {
				want++
			}
		}
		if got, _, _ := n.Reach(event.Target{Group: group}); got != want {
			t.Fatalf("group %s has %d gateways; want %d", group, got, want)
		}
	}
}

// checkToken checks that a token is accepted while it is valid, and that a node that knew
// the token when it ended was called once.
func (m *model) checkToken(t *rapid.T, n *node, tok *modelToken) {
	if tok.end == nil {
		n.verify(t, tok.credential)
		n.wantValid(t, tok.credential)
		return
	}
	n.refuse(t, tok.credential)
	if tok.ended[n] {
		n.wantEnded(t, tok.credential, *tok.end)
	} else {
		n.wantValid(t, tok.credential)
	}
}
