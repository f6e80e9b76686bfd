// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A node is the registry of one node, with its revocations and its log lines.
type node struct {
	*auth.Registry

	mu    sync.Mutex
	skew  time.Duration                  // its clock minus the real one
	ended map[string][]event.CloseReason // by token id
	log   bytes.Buffer
}

// Write appends a log line.
func (n *node) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.Write(b)
}

func (n *node) logged() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.String()
}

func (n *node) revoked(r auth.Revocation) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended[r.TokenID] = append(n.ended[r.TokenID], r.Reason)
}

func (n *node) now() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Add(n.skew)
}

func (n *node) setSkew(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.skew = d
}

// endings returns the reasons of a token's revocations on this node.
func (n *node) endings(tokenID string) []event.CloseReason {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.ended[tokenID])
}

// A fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// open returns a node. The caller closes it.
func open(t fataler, s auth.Store) *node {
	t.Helper()
	return openWith(t, s, auth.Options{})
}

// openWith is open with more options.
func openWith(t fataler, s auth.Store, o auth.Options) *node {
	t.Helper()
	n := &node{ended: make(map[string][]event.CloseReason)}
	o.Now, o.Logger, o.OnRevoke = n.now, slog.New(slog.NewTextHandler(n, nil)), n.revoked
	r, err := auth.Open(context.Background(), s, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	n.Registry = r
	return n
}

// bubble runs f with nodes of one store in a synctest bubble.
func bubble(t *testing.T, s auth.Store, nodes int, f func(t *testing.T, n []*node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var n []*node
		for range nodes {
			n = append(n, open(t, s))
		}
		defer func() {
			for _, n := range n {
				n.Close()
			}
		}()
		f(t, n)
	})
}

// A credential is a result of Add or AddToken.
type credential struct {
	gateway auth.Gateway
	token   auth.Token
	secret  string
}

func (n *node) add(t fataler, g auth.NewGateway) credential {
	t.Helper()
	gateway, token, secret, err := n.Add(context.Background(), g)
	if err != nil {
		t.Fatalf("Add(%+v): %v", g, err)
	}
	return credential{gateway, token, secret}
}

func (n *node) addToken(t fataler, c credential, expiresAt time.Time) credential {
	t.Helper()
	token, secret, err := n.AddToken(context.Background(), c.gateway.ID, expiresAt)
	if err != nil {
		t.Fatalf("AddToken(%s): %v", c.gateway.ID, err)
	}
	return credential{c.gateway, token, secret}
}

func (n *node) revoke(t fataler, c credential) {
	t.Helper()
	if err := n.RevokeToken(context.Background(), c.gateway.ID, c.token.ID); err != nil {
		t.Fatalf("RevokeToken: %v", err)
	}
}

func (n *node) remove(t fataler, id string) {
	t.Helper()
	if err := n.Remove(context.Background(), id); err != nil {
		t.Fatalf("Remove(%s): %v", id, err)
	}
}

// verify returns the grant of a valid credential.
func (n *node) verify(t fataler, c credential) *auth.Grant {
	t.Helper()
	g, ok := n.Verify(c.secret)
	if !ok {
		t.Fatalf("token %s of gateway %s is refused", c.token.ID, c.gateway.ID)
	}
	if g.Gateway.ID != c.gateway.ID || g.TokenID != c.token.ID {
		t.Fatalf("token %s of gateway %s gives gateway %s, token %s", c.token.ID, c.gateway.ID, g.Gateway.ID, g.TokenID)
	}
	return g
}

func (n *node) refuse(t fataler, c credential) {
	t.Helper()
	if _, ok := n.Verify(c.secret); ok {
		t.Fatalf("token %s of gateway %s is accepted", c.token.ID, c.gateway.ID)
	}
}

// wantEnded checks that a token was revoked once, for this reason.
func (n *node) wantEnded(t fataler, c credential, why event.CloseReason) {
	t.Helper()
	if got := n.endings(c.token.ID); len(got) != 1 || got[0] != why {
		t.Fatalf("token %s ended for %v; want once for %v", c.token.ID, got, why)
	}
}

func (n *node) wantValid(t fataler, c credential) {
	t.Helper()
	if got := n.endings(c.token.ID); len(got) != 0 {
		t.Fatalf("token %s ended for %v; want it valid", c.token.ID, got)
	}
}

func (n *node) tokens(t fataler, id string) []auth.Token {
	t.Helper()
	tokens, err := n.Tokens(id)
	if err != nil {
		t.Fatalf("Tokens(%s): %v", id, err)
	}
	return tokens
}

func wantField(t fataler, err error, field string) {
	t.Helper()
	f, ok := errors.AsType[*event.FieldError](err)
	if !ok || f.Field != field {
		t.Fatalf("error %v; want one of the field %s", err, field)
	}
}

func wantIs(t fataler, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error %v; want one that is %q", err, target)
	}
}

func wantText(t fataler, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Fatalf("%q does not contain %q", got, w)
		}
	}
}

// A hooked is a store that calls hooks before each operation. An error of a hook is the
// error of the operation.
type hooked struct {
	*memstore.Store

	mu    sync.Mutex
	hooks hooks
}

type hooks struct {
	get    func(key string) error
	write  func(key string) error
	change func(auth.Change) // before a change is reported
	watch  func(context.Context) (context.Context, error)
}

// set changes the hooks.
func (h *hooked) set(f func(*hooks)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(&h.hooks)
}

func (h *hooked) now() hooks {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hooks
}

func hook() *hooked { return &hooked{Store: memstore.New()} }

func call(f func(string) error, key string) error {
	if f == nil {
		return nil
	}
	return f(key)
}

func (h *hooked) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if err := call(h.now().get, key); err != nil {
		return nil, 0, err
	}
	return h.Store.Get(ctx, key)
}

func (h *hooked) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := call(h.now().write, key); err != nil {
		return 0, err
	}
	return h.Store.Create(ctx, key, value)
}

func (h *hooked) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := call(h.now().write, key); err != nil {
		return 0, err
	}
	return h.Store.Update(ctx, key, value, revision)
}

func (h *hooked) Delete(ctx context.Context, key string, revision uint64) error {
	if err := call(h.now().write, key); err != nil {
		return err
	}
	return h.Store.Delete(ctx, key, revision)
}

func (h *hooked) Watch(ctx context.Context, f func(auth.Change)) error {
	if watch := h.now().watch; watch != nil {
		var err error
		if ctx, err = watch(ctx); err != nil {
			return err
		}
	}
	return h.Store.Watch(ctx, func(c auth.Change) {
		if change := h.now().change; change != nil {
			change(c)
		}
		f(c)
	})
}
