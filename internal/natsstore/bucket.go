// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

var _ auth.Store = (*Bucket)(nil)

// A Bucket keeps values by key, in memory or on disk as its store does. It is an [auth.Store]
// and returns its errors; all others match [storage.ErrUnavailable]. It is safe for concurrent
// use. Keys consist of letters, digits and -/_=. and do not begin or end with a dot.
type Bucket struct {
	// Constant.
	store  *Store
	name   string
	stream string // that keeps it
	kv     jetstream.KeyValue

	mu      sync.Mutex
	created time.Time // of the stream that keeps it
	// base is added to the stream's sequences to make revisions, so that revisions grow
	// also when the stream is lost and made again. Newest is the highest revision seen.
	base, newest uint64
	watched      uint64        // the sequence that the watch has passed on
	moved        chan struct{} // closed when watched changes; nil when nobody waits
}

// Bucket opens the bucket with a name, or makes it. Names consist of letters, digits, _ and -.
func (s *Store) Bucket(ctx context.Context, name string) (*Bucket, error) {
	b := &Bucket{store: s, name: name, stream: storage.BucketPrefix + name}
	var info *jetstream.StreamInfo
	err := s.Retry(ctx, openTry, func(ctx context.Context) (err error) {
		if b.kv, err = b.make(ctx); err == nil {
			info, err = b.info(ctx)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("event log: open bucket %s: %w%s", name, err, s.LastError())
	}
	b.created, b.newest = info.Created, info.State.LastSeq
	s.noteStream(info)
	return b, nil
}

// make opens the bucket's stream, or makes it.
func (b *Bucket) make(ctx context.Context) (jetstream.KeyValue, error) {
	replicas, _, err := b.store.replicasOf(ctx, b.stream)
	if err != nil {
		return nil, err
	}
	return b.store.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:   b.name,
		History:  1,
		Storage:  b.store.storageType(),
		Replicas: replicas,
	})
}

// info asks for the state of the stream, by its name: the stream can be another one than at the
// last call.
func (b *Bucket) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := b.store.js.Stream(ctx, b.stream)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// revision returns the revision of a sequence of the stream.
func (b *Bucket) revision(seq uint64) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	revision := b.base + seq
	b.newest = max(b.newest, revision)
	return revision
}

// sequence is the inverse of revision. It is zero for a revision from before the stream was
// lost: no key has it.
func (b *Bucket) sequence(revision uint64) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(revision, b.base) - b.base
}

// Get returns a key's value and revision, or [auth.ErrNotFound].
func (b *Bucket) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	e, err := b.latest(ctx, key)
	if err != nil {
		return nil, 0, b.wrap(ctx, key, err)
	}
	if e.deleted {
		return nil, 0, fmt.Errorf("%s: %w", key, auth.ErrNotFound)
	}
	return e.value, b.revision(e.seq), nil
}

// Create adds a key. It returns [auth.ErrConflict] if the key exists.
func (b *Bucket) Create(ctx context.Context, key string, value []byte) (revision uint64, err error) {
	if err := b.store.Reserve(len(value) + storage.MessageOverhead); err != nil {
		return 0, err
	}
	seq, err := b.kv.Update(ctx, key, value, 0) // 0: if the key has no message
	if isConflict(err) {
		// A deleted key leaves a marker, which is replaced.
		if e, readErr := b.latest(ctx, key); readErr == nil && e.deleted {
			seq, err = b.kv.Update(ctx, key, value, e.seq)
		}
	}
	return b.wrote(ctx, key, seq, err)
}

// An entry is the newest message of a key.
type entry struct {
	value   []byte
	seq     uint64 // in the stream
	deleted bool   // the message is a marker
}

// latest asks the leader of the stream for the newest message of a key. The methods Get and
// Create of a KeyValue read from any replica: one that lags returns what the key was before,
// and a gateway that was just removed could not be registered.
func (b *Bucket) latest(ctx context.Context, key string) (e entry, err error) {
	if !validKey.MatchString(key) {
		return e, jetstream.ErrInvalidKey
	}
	request, err := json.Marshal(map[string]string{"last_by_subj": "$KV." + b.name + "." + key})
	if err != nil {
		return e, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTry)
	defer cancel()
	m, err := b.store.conn.RequestWithContext(ctx, apiPrefix(b.store.js.Options())+"STREAM.MSG.GET."+b.stream, request)
	if err != nil {
		return e, err
	}
	var response struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Seq    uint64 `json:"seq"`
			Header []byte `json:"hdrs"`
			Data   []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &response); err != nil {
		return e, err
	}
	switch {
	case response.Error != nil && response.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return e, jetstream.ErrKeyNotFound
	case response.Error != nil:
		return e, response.Error
	case response.Message == nil:
		return e, jetstream.ErrInvalidJetStreamResponse
	}
	e = entry{value: response.Message.Data, seq: response.Message.Seq}
	if len(response.Message.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(response.Message.Header)
		if err != nil {
			return e, err
		}
		e.deleted = h.Get(keyOperation) != "" || h.Get(keyMarker) != ""
	}
	return e, nil
}

// validKey matches the keys that JetStream takes.
var validKey = regexp.MustCompile(`^[-/_=A-Za-z0-9]+(\.[-/_=A-Za-z0-9]+)*$`)

// Update replaces the value of a key. It returns [auth.ErrConflict] if the key has another
// revision.
func (b *Bucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	seq := b.sequence(revision)
	if seq == 0 { // to JetStream it means: if the key does not exist
		return 0, fmt.Errorf("%s: %w: no key has revision %d", key, auth.ErrConflict, revision)
	}
	if err := b.store.Reserve(len(value) + storage.MessageOverhead); err != nil {
		return 0, err
	}
	seq, err := b.kv.Update(ctx, key, value, seq)
	return b.wrote(ctx, key, seq, err)
}

// Delete removes a key. It returns [auth.ErrConflict] if the key has another revision. It works
// on a full disk.
func (b *Bucket) Delete(ctx context.Context, key string, revision uint64) error {
	seq := b.sequence(revision)
	if seq == 0 { // to JetStream it means: at any revision
		return fmt.Errorf("%s: %w: no key has revision %d", key, auth.ErrConflict, revision)
	}
	err := b.kv.Delete(ctx, key, jetstream.LastRevision(seq))
	if err == nil && b.store.folder != nil { // Delete does not return its revision
		if info, err := b.info(ctx); err == nil {
			b.store.noteStream(info)
		}
	}
	return b.wrap(ctx, key, err)
}

// wrote returns the revision of a write at a sequence of the stream.
func (b *Bucket) wrote(ctx context.Context, key string, seq uint64, err error) (revision uint64, _ error) {
	if err != nil {
		return 0, b.wrap(ctx, key, err)
	}
	b.store.folder.Note(b.stream, seq)
	return b.revision(seq), nil
}

// wrap converts JetStream's errors to those of auth and storage.
func (b *Bucket) wrap(ctx context.Context, key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return fmt.Errorf("%s: %w", key, auth.ErrNotFound)
	// Every conflict of revisions has the code of ErrKeyExists.
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return fmt.Errorf("%s: %w", key, auth.ErrConflict)
	case errors.Is(err, jetstream.ErrInvalidKey):
		return fmt.Errorf("%q is not a valid key", key)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %s: %w", storage.ErrUnavailable, key, err)
}
