// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ auth.Store = (*memstore.Store)(nil)

func TestStore(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	want := func(what string, err, target error) {
		t.Helper()
		if !errors.Is(err, target) {
			t.Errorf("%s: error %v; want %v", what, err, target)
		}
	}
	_, _, err := s.Get(ctx, "k")
	want("get nothing", err, auth.ErrNotFound)
	_, err = s.Update(ctx, "k", nil, 0)
	want("update nothing", err, auth.ErrConflict)
	want("delete nothing", s.Delete(ctx, "k", 0), auth.ErrConflict)
	want("delete nothing, with a revision", s.Delete(ctx, "k", 1), auth.ErrConflict)

	value := []byte("one")
	first, err := s.Create(ctx, "k", value)
	want("create", err, nil)
	value[0] = 'X' // the store has its own
	_, err = s.Create(ctx, "k", nil)
	want("create twice", err, auth.ErrConflict)
	got, revision, err := s.Get(ctx, "k")
	if string(got) != "one" || revision != first || err != nil {
		t.Errorf("got %q at %d, error %v", got, revision, err)
	}

	second, err := s.Update(ctx, "k", []byte("two"), first)
	want("update", err, nil)
	_, err = s.Update(ctx, "k", nil, first)
	want("update an old revision", err, auth.ErrConflict)
	want("delete an old revision", s.Delete(ctx, "k", first), auth.ErrConflict)
	want("delete", s.Delete(ctx, "k", second), nil)
	_, err = s.Update(ctx, "k", nil, second)
	want("update what is gone", err, auth.ErrConflict)
	third, err := s.Create(ctx, "k", nil)
	want("create again", err, nil)
	if first >= second || second >= third {
		t.Errorf("revisions are %d, %d, %d", first, second, third)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		revision, err := s.Create(t.Context(), "there", []byte("v"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var reported []string
		done := make(chan error)
		go func() {
			done <- s.Watch(ctx, func(c auth.Change) {
				reported = append(reported, fmt.Sprintf("%s=%s@%d %t %t", c.Key, c.Value, c.Revision, c.Deleted, c.Synced))
			})
		}()
		synctest.Wait()
		if _, err := s.Create(t.Context(), "new", []byte("n")); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), "there", revision); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if _, err := s.Create(t.Context(), "late", nil); err != nil {
			t.Fatal(err)
		}
		want := []string{"there=v@1 false false", "=@0 false true", "new=n@2 false false", "there=@3 true false"}
		if !slices.Equal(reported, want) {
			t.Errorf("reported %q\nwant %q", reported, want)
		}
	})
}

func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := memstore.New()
	_, _, getErr := s.Get(ctx, "k")
	_, writeErr := s.Create(ctx, "k", nil)
	for _, err := range []error{getErr, writeErr, s.Watch(ctx, func(auth.Change) { t.Error("reported") })} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
}
