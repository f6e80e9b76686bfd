// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
)

// ErrNotFound says that a store has no such key, or a registry no such gateway
// or token.
var ErrNotFound = errors.New("not found")

// ErrConflict says that a key exists already, or that it is no longer at the
// revision a change was made from.
var ErrConflict = errors.New("conflict")

// A Change is what a watch of a [Store] tells: a key's newest value, a key's
// deletion, or that all that was there has been told.
type Change struct {
	Key   string
	Value []byte // the receiver's to keep
	// Revision is the store's number of the write. A key's revisions grow, over
	// its deletion too.
	Revision uint64
	Deleted  bool // the key is gone; Value is empty
	Synced   bool // nothing but this: every key that was present has been told
	// Reset says nothing but this: the store has lost what it had, or some of it, since
	// the watch before. Revisions grow all the same.
	Reset bool
}

// A Store keeps values by key for all nodes of a system. A key is changed by
// its revision only, so of two nodes that change it at once one gets
// [ErrConflict] and begins again from what the other wrote. Stores may be
// shared.
type Store interface {
	// Get returns a key's value; ErrNotFound when there is none.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Create adds a key; ErrConflict when it exists.
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	// Update replaces a key's value; ErrConflict when it is at another revision
	// or gone.
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Delete removes a key; ErrConflict when it is at another revision or gone.
	Delete(ctx context.Context, key string, revision uint64) error
	// Watch calls f with every key that is present, then with Change{Synced:
	// true}, then with every later change, in each key's order and from one
	// goroutine at a time, until ctx ends. It may leave out a value that a newer
	// one has replaced.
	Watch(ctx context.Context, f func(Change)) error
}

// A SharedStore is a [Store] that others change too.
type SharedStore interface {
	Store
	// CatchUp returns when the watch that runs has called its function with every change
	// that was made before the call. An error says that it cannot.
	CatchUp(ctx context.Context) error
}
