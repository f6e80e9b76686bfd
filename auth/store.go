// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
)

// ErrNotFound says that a store has no such key, or a registry no such gateway or token.
var ErrNotFound = errors.New("not found")

// ErrConflict says that a key already exists, or is not at the expected revision.
var ErrConflict = errors.New("conflict")

// A Change is one report of a [Store]'s watch: a key's newest value, the deletion of a
// key, or one of the marks Synced and Reset, which have no other field set.
type Change struct {
	Key   string
	Value []byte // owned by the receiver
	// Revision is the store's number of the write. The revisions of a key grow, also
	// after its deletion.
	Revision uint64
	Deleted  bool // the key was deleted; Value is empty
	Synced   bool // every key that existed when the watch started has been reported
	// Reset says that the store has lost data since the previous watch. Revisions still
	// grow.
	Reset bool
}

// A Store keeps values by key for all nodes of a cluster. A write names the revision it
// replaces. When two nodes change a key at once, one gets [ErrConflict] and starts again
// from the other's value. Any goroutine can call the methods.
type Store interface {
	// Get returns a key's value; ErrNotFound without one.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Create adds a key; ErrConflict when it exists.
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	// Update replaces a key's value; ErrConflict when the key is at another revision or
	// does not exist.
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Delete removes a key; ErrConflict when the key is at another revision or does not
	// exist.
	Delete(ctx context.Context, key string, revision uint64) error
	// Watch calls f with every existing key, then with Change{Synced: true}, then with
	// every later change, until ctx ends. Changes of one key arrive in order. f runs on
	// one goroutine at a time. Watch can skip a value that a newer one has replaced.
	Watch(ctx context.Context, f func(Change)) error
}

// A SharedStore is a [Store] that other nodes write too.
type SharedStore interface {
	Store
	// CatchUp returns when the running watch has reported every change that any node
	// made before the call, or an error when it cannot find that out.
	CatchUp(ctx context.Context) error
}
