// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
)

// A gateway is a registered gateway and its members.
type gateway struct {
	id, group string
	members   []*member

	// busy is held by the actor that changes the gateway, so that it sees only the effects of its
	// own action.
	busy sync.Mutex
	// publishing is held for reading while something is published to this gateway alone, and for
	// writing while the gateway is removed.
	publishing sync.RWMutex

	mu      sync.Mutex
	token   string
	tokenID string
	removed bool
}

// members is the number of clients per gateway.
const members = 2

const toAll = `"all":true`

func toGroup(name string) string { return fmt.Sprintf(`"group":%q`, name) }

func (g *gateway) toIt() string { return fmt.Sprintf(`"gatewayId":%q`, g.id) }

// audiences returns the audiences that include the gateway.
func (g *gateway) audiences() []string { return []string{g.toIt(), toGroup(g.group), toAll} }

// join registers a gateway and connects its members.
func (s *soak) join(ctx context.Context, group string) (*gateway, error) {
	var answer struct{ ID, Token, TokenID string }
	body := fmt.Sprintf(`{"name":"soak","groups":[%q]}`, group)
	if err := s.platform.Do(ctx, http.MethodPost, "/gateways", body, http.StatusCreated, &answer); err != nil {
		return nil, err
	}
	g := &gateway{id: answer.ID, group: group, token: answer.Token, tokenID: answer.TokenID}
	for i := range members {
		m := newMember(s, g, i)
		g.members = append(g.members, m)
	}
	for _, m := range g.members {
		s.running.Go(func() { m.run(s.ctx) })
	}
	return g, nil
}

// addToken makes a new token for the gateway, and returns the id of the previous one.
func (s *soak) addToken(ctx context.Context, g *gateway) (former string, err error) {
	var answer struct{ ID, Token string }
	if err := s.platform.Do(ctx, http.MethodPost, "/gateways/"+g.id+"/tokens", "{}", http.StatusCreated, &answer); err != nil {
		return "", err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	former = g.tokenID
	g.token, g.tokenID = answer.Token, answer.ID
	return former, nil
}

func (g *gateway) currentToken() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.token
}

// remove marks the gateway as removed, after all publishes to it have ended: later ones are
// refused.
func (g *gateway) remove() {
	g.publishing.Lock()
	defer g.publishing.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.removed = true
}

func (g *gateway) isRemoved() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.removed
}

// connected reports whether all members are connected.
func (g *gateway) connected() bool {
	for _, m := range g.members {
		if !m.connected() {
			return false
		}
	}
	return true
}
