// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package memstore is an [auth.Store] in memory, for tests and benchmarks that need a
// registry.
package memstore

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/gatecast/gatecast/auth"
)

// A Store is an [auth.Store] that ends with the process. Any goroutine can use it.
// Registries can share one, as nodes share the store of a cluster.
type Store struct {
	mu       sync.Mutex
	revision uint64 // of the newest write; every write has its own
	values   map[string]value
	watchers map[*watcher]struct{}
	lost     bool // Rollback was called
}

// A value is the value of a key.
type value struct {
	bytes    []byte
	revision uint64
}

// New returns an empty store. It has no goroutine and needs no Close.
func New() *Store {
	return &Store{values: make(map[string]value), watchers: make(map[*watcher]struct{})}
}

// Get implements [auth.Store]. The value is a copy.
func (s *Store) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[key]
	if !ok {
		return nil, 0, auth.ErrNotFound
	}
	return bytes.Clone(v.bytes), v.revision, nil
}

// Create implements [auth.Store]. It copies the value.
func (s *Store) Create(ctx context.Context, key string, b []byte) (uint64, error) {
	return s.write(ctx, auth.Change{Key: key, Value: b}, 0)
}

// Update implements [auth.Store]. It copies the value. Revision 0 is of no key.
func (s *Store) Update(ctx context.Context, key string, b []byte, revision uint64) (uint64, error) {
	if revision == 0 {
		return 0, auth.ErrConflict
	}
	return s.write(ctx, auth.Change{Key: key, Value: b}, revision)
}

// Delete implements [auth.Store]. Revision 0 is of no key.
func (s *Store) Delete(ctx context.Context, key string, revision uint64) error {
	if revision == 0 {
		return auth.ErrConflict
	}
	_, err := s.write(ctx, auth.Change{Key: key, Deleted: true}, revision)
	return err
}

// write makes a change if the key is at the given revision; 0: if it does not exist.
func (s *Store) write(ctx context.Context, c auth.Change, revision uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values[c.Key].revision != revision {
		return 0, auth.ErrConflict
	}
	s.revision++
	c.Revision = s.revision
	if c.Deleted {
		delete(s.values, c.Key)
	} else {
		s.values[c.Key] = value{bytes.Clone(c.Value), c.Revision}
	}
	for w := range s.watchers {
		w.send(c)
	}
	return c.Revision, nil
}

// ErrRolledBack ends the watches of a store at Rollback.
var ErrRolledBack = errors.New("the store has lost what it had")

// Rollback replaces the store's data by values, an earlier result of Values; nil: no data.
// It ends every watch. Later watches start with Reset.
func (s *Store) Rollback(values map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = true
	s.values = make(map[string]value)
	for key, b := range values {
		s.revision++
		s.values[key] = value{bytes.Clone(b), s.revision}
	}
	for w := range s.watchers {
		close(w.lost)
	}
	clear(s.watchers)
}

// Values returns a copy of the store's data.
func (s *Store) Values() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := make(map[string][]byte, len(s.values))
	for key, v := range s.values {
		values[key] = bytes.Clone(v.bytes)
	}
	return values
}

// Watch implements [auth.Store]. It skips no value. It returns ErrRolledBack at Rollback.
func (s *Store) Watch(ctx context.Context, f func(auth.Change)) error {
	w := s.watch()
	defer s.forget(w)
	for {
		s.mu.Lock()
		changes := w.queue
		w.queue = nil
		s.mu.Unlock()
		for _, c := range changes {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			f(c)
		}
		select {
		case <-w.wake:
		case <-w.lost:
			return ErrRolledBack
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A watcher is one call of Watch. Store.mu guards queue.
type watcher struct {
	queue []auth.Change // not reported yet
	wake  chan struct{} // has one token when queue has become non-empty
	lost  chan struct{} // closed by Rollback
}

// send queues a change. Store.mu is held.
func (w *watcher) send(c auth.Change) {
	c.Value = bytes.Clone(c.Value)
	w.queue = append(w.queue, c)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// watch returns a watcher whose queue has everything in the store.
func (s *Store) watch() *watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &watcher{wake: make(chan struct{}, 1), lost: make(chan struct{})}
	if s.lost {
		w.send(auth.Change{Reset: true})
	}
	for key, v := range s.values {
		w.send(auth.Change{Key: key, Value: v.bytes, Revision: v.revision})
	}
	w.send(auth.Change{Synced: true})
	s.watchers[w] = struct{}{}
	return w
}

// forget removes a watcher.
func (s *Store) forget(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watchers, w)
}
