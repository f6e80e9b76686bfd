// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/auth"
)

var _ auth.Store = (*Bucket)(nil)

// A Bucket keeps values by key beside the events, in a file or in memory as the
// log does. It is an [auth.Store], with its errors; others match
// [ErrUnavailable]. Any goroutine may use it. Keys consist of letters, digits
// and -/_=. and do not begin or end with a dot.
type Bucket struct {
	log    *Log
	name   string
	stream string // that keeps it
	kv     jetstream.KeyValue

	mu      sync.Mutex
	created time.Time // of the stream that keeps it
	// base is added to the stream's sequences to make revisions, so that these grow
	// also when the stream is lost and made again. Newest is the highest revision seen.
	base, newest uint64
	told         uint64        // the sequence that the watch has come to
	moved        chan struct{} // closed when told moves; nil when nobody waits
}

// bucketPrefix is what the name of a bucket's stream begins with.
const bucketPrefix = "KV_"

// Bucket opens the bucket of that name, or makes it. Names consist of letters,
// digits, _ and -.
func (l *Log) Bucket(ctx context.Context, name string) (*Bucket, error) {
	b := &Bucket{log: l, name: name, stream: bucketPrefix + name}
	var info *jetstream.StreamInfo
	err := l.patiently(ctx, openTry, func(ctx context.Context) (err error) {
		if b.kv, err = b.make(ctx); err == nil {
			info, err = b.info(ctx)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("event log: open bucket %s: %w%s", name, err, l.server.because())
	}
	b.created, b.newest = info.Created, info.State.LastSeq
	if l.held != nil {
		l.held.noteStream(info)
	}
	return b, nil
}

// make finds the bucket's stream, or makes it.
func (b *Bucket) make(ctx context.Context) (jetstream.KeyValue, error) {
	replicas, _, err := b.log.replicasOf(ctx, b.stream)
	if err != nil {
		return nil, err
	}
	return b.log.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:   b.name,
		History:  1,
		Storage:  b.log.storage(),
		Replicas: replicas,
	})
}

func (b *Bucket) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := b.log.js.Stream(ctx, b.stream)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// revision returns the revision of what has a sequence in the stream.
func (b *Bucket) revision(seq uint64) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	revision := b.base + seq
	b.newest = max(b.newest, revision)
	return revision
}

// sequence is the inverse of revision. It is zero for a revision that the bucket had
// before its stream was lost: no key is at it.
func (b *Bucket) sequence(revision uint64) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(revision, b.base) - b.base
}

// Get returns a key's value and revision; [auth.ErrNotFound] when there is none.
func (b *Bucket) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	e, err := b.kv.Get(ctx, key)
	if err != nil {
		return nil, 0, b.wrap(ctx, key, err)
	}
	return e.Value(), b.revision(e.Revision()), nil
}

// Create adds a key; [auth.ErrConflict] when it exists.
func (b *Bucket) Create(ctx context.Context, key string, value []byte) (revision uint64, err error) {
	if err := b.log.space.take(len(value) + messageOverhead); err != nil {
		return 0, err
	}
	seq, err := b.kv.Create(ctx, key, value)
	return b.wrote(ctx, key, seq, err)
}

// Update replaces the value of a key that is at the given revision, else returns
// [auth.ErrConflict].
func (b *Bucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	seq := b.sequence(revision)
	if seq == 0 { // to JetStream it means: when there is none
		return 0, fmt.Errorf("%s: %w: no key is at revision %d", key, auth.ErrConflict, revision)
	}
	if err := b.log.space.take(len(value) + messageOverhead); err != nil {
		return 0, err
	}
	seq, err := b.kv.Update(ctx, key, value, seq)
	return b.wrote(ctx, key, seq, err)
}

// Delete removes a key that is at the given revision, else returns
// [auth.ErrConflict]. It is allowed on a full disk.
func (b *Bucket) Delete(ctx context.Context, key string, revision uint64) error {
	seq := b.sequence(revision)
	if seq == 0 { // to JetStream it means: whatever the revision
		return fmt.Errorf("%s: %w: no key is at revision %d", key, auth.ErrConflict, revision)
	}
	err := b.kv.Delete(ctx, key, jetstream.LastRevision(seq))
	if err == nil && b.log.held != nil {
		b.noteStream(ctx) // it does not say its own revision
	}
	return b.wrap(ctx, key, err)
}

// wrote ends a write, whose place in the stream is seq, and returns its revision.
func (b *Bucket) wrote(ctx context.Context, key string, seq uint64, err error) (revision uint64, _ error) {
	if err != nil {
		return 0, b.wrap(ctx, key, err)
	}
	b.log.held.note(b.stream, extent{Last: seq})
	return b.revision(seq), nil
}

// noteStream notes how much the bucket holds; when it cannot be asked, less is known.
func (b *Bucket) noteStream(ctx context.Context) {
	if info, err := b.info(ctx); err == nil {
		b.log.held.noteStream(info)
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
