// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"gatecast/auth"
)

var _ auth.Store = (*Bucket)(nil)

// A Bucket keeps values by key beside the events, in a file or in memory as the
// log does. It is an [auth.Store], with its errors; others match
// [ErrUnavailable]. Any goroutine may use it. Keys consist of letters, digits
// and -/_=. and do not begin or end with a dot.
type Bucket struct {
	log    *Log
	kv     jetstream.KeyValue
	stream string // that it is
}

// bucketPrefix is what the name of a bucket's stream begins with.
const bucketPrefix = "KV_"

// Bucket opens the bucket of that name, or makes it. Names consist of letters,
// digits, _ and -.
func (l *Log) Bucket(ctx context.Context, name string) (*Bucket, error) {
	var kv jetstream.KeyValue
	err := l.patiently(ctx, openTry, func(ctx context.Context) error {
		replicas, _, err := l.replicasOf(ctx, bucketPrefix+name)
		if err != nil {
			return err
		}
		kv, err = l.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket:   name,
			History:  1,
			Storage:  l.storage(),
			Replicas: replicas,
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("event log: open bucket %s: %w%s", name, err, l.server.because())
	}
	b := &Bucket{log: l, kv: kv, stream: bucketPrefix + name}
	if l.held != nil {
		b.noteStream(ctx)
	}
	return b, nil
}

// Get returns a key's value and revision; [auth.ErrNotFound] when there is none.
func (b *Bucket) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	e, err := b.kv.Get(ctx, key)
	if err != nil {
		return nil, 0, b.wrap(ctx, key, err)
	}
	return e.Value(), e.Revision(), nil
}

// Create adds a key; [auth.ErrConflict] when it exists.
func (b *Bucket) Create(ctx context.Context, key string, value []byte) (revision uint64, err error) {
	if err := b.log.space.take(len(value) + messageOverhead); err != nil {
		return 0, err
	}
	revision, err = b.kv.Create(ctx, key, value)
	return b.wrote(ctx, key, revision, err)
}

// Update replaces the value of a key that is at the given revision, else returns
// [auth.ErrConflict].
func (b *Bucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if revision == 0 { // to JetStream it means: when there is none
		return 0, fmt.Errorf("%s: %w: no key is at revision 0", key, auth.ErrConflict)
	}
	if err := b.log.space.take(len(value) + messageOverhead); err != nil {
		return 0, err
	}
	revision, err := b.kv.Update(ctx, key, value, revision)
	return b.wrote(ctx, key, revision, err)
}

// Delete removes a key that is at the given revision, else returns
// [auth.ErrConflict]. It is allowed on a full disk.
func (b *Bucket) Delete(ctx context.Context, key string, revision uint64) error {
	if revision == 0 { // to JetStream it means: whatever the revision
		return fmt.Errorf("%s: %w: no key is at revision 0", key, auth.ErrConflict)
	}
	err := b.kv.Delete(ctx, key, jetstream.LastRevision(revision))
	if err == nil && b.log.held != nil {
		b.noteStream(ctx) // it does not say its own revision
	}
	return b.wrap(ctx, key, err)
}

// wrote ends a write with a revision.
func (b *Bucket) wrote(ctx context.Context, key string, revision uint64, err error) (uint64, error) {
	if err == nil {
		b.log.held.note(b.stream, extent{Last: revision})
	}
	return revision, b.wrap(ctx, key, err)
}

// noteStream notes how much the bucket holds; when it cannot be asked, less is known.
func (b *Bucket) noteStream(ctx context.Context) {
	if s, err := b.log.js.Stream(ctx, b.stream); err == nil {
		b.log.held.noteStream(s.CachedInfo())
	}
}

// wrap turns JetStream's errors into auth's and ours.
func (b *Bucket) wrap(ctx context.Context, key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return fmt.Errorf("%s: %w", key, auth.ErrNotFound)
	// ErrKeyExists has the code that every conflict of revisions has.
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return fmt.Errorf("%s: %w", key, auth.ErrConflict)
	case errors.Is(err, jetstream.ErrInvalidKey):
		return fmt.Errorf("%q cannot be a key", key)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, key, err)
}

// Watch calls f with every present key, then with Change{Synced: true}, then
// with every later change until ctx ends, and returns ctx's error; when the log
// closes, one that matches [ErrUnavailable]. Of several changes to one key in
// quick succession only the last may be told. F is called on Watch's own
// goroutine.
func (b *Bucket) Watch(ctx context.Context, f func(auth.Change)) error {
	ctx, done, err := b.log.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	w, err := b.kv.WatchAll(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		return fmt.Errorf("%w: watch: %w", ErrUnavailable, err)
	}
	defer stopWatch(w)
	told := make(map[string]bool) // keys told before all were; nil after
	for {
		select {
		case <-ctx.Done():
			return ended(ctx)
		case e, ok := <-w.Updates():
			if !ok {
				return b.cut(ctx)
			}
			told = tell(e, told, f)
		}
	}
}

func (b *Bucket) cut(ctx context.Context) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return fmt.Errorf("%w: the watch was cut off", ErrUnavailable)
}

// tell passes one update on. The store keeps a marker for a deleted key; one for
// a key that was not told before is not worth telling.
func tell(e jetstream.KeyValueEntry, told map[string]bool, f func(auth.Change)) map[string]bool {
	if e == nil { // how the watcher says that everything was told
		f(auth.Change{Synced: true})
		return nil
	}
	c := auth.Change{Key: e.Key(), Value: e.Value(), Revision: e.Revision()}
	if e.Operation() != jetstream.KeyValuePut {
		c.Value, c.Deleted = nil, true
	}
	if told != nil {
		if c.Deleted && !told[c.Key] {
			return told
		}
		told[c.Key] = true
	}
	f(c)
	return told
}

// stopWatch empties the watcher's channel, which it may be waiting to send on.
func stopWatch(w jetstream.KeyWatcher) {
	_ = w.Stop() // an error says that it is stopped already
	for range w.Updates() {
	}
}
