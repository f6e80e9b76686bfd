// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// goneFor is how long a bucket's stream must be missing before it counts as lost: a cluster
// that has just started does not know all of its streams yet.
const goneFor = time.Second

// Watch calls f with every key that exists, then with Change{Synced: true}, and then with every
// later change until ctx ends. It returns ctx's error; when the store is closed or the
// connection is lost, an error that matches [storage.ErrUnavailable]. Without a connection it
// waits for one. Of several changes of one key in quick succession f can get only the last one.
// F is called on Watch's goroutine.
//
// A bucket that is lost while the store is open is made again, empty. Then Watch begins with
// Change{Reset: true}.
func (b *Bucket) Watch(ctx context.Context, f func(auth.Change)) error {
	ctx, done, err := b.store.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel, err := b.store.Session(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	reset, err := b.find(ctx)
	if err != nil {
		return b.ended(ctx, err)
	}
	if reset {
		f(auth.Change{Reset: true})
	}
	return b.ended(ctx, b.follow(ctx, f))
}

// ended returns why a watch ended.
func (b *Bucket) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return storage.Ended(ctx)
	}
	return fmt.Errorf("%w: watch: %w", storage.ErrUnavailable, err)
}

// find checks that the bucket's stream exists. Reset reports that it is another one, or has
// gone back: keys can be missing.
func (b *Bucket) find(ctx context.Context) (reset bool, err error) {
	b.mu.Lock()
	newest := b.newest // before the request: the stream can change in the meantime
	b.mu.Unlock()
	info, err := b.info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) && b.store.Shared() {
		info, err = b.restore(ctx)
	}
	if err != nil {
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if info.Created.Equal(b.created) && b.base+info.State.LastSeq >= newest {
		return false, nil
	}
	b.created, b.base, b.watched = info.Created, b.newest, 0
	return true, nil
}

// restore makes the bucket's stream again after it has been missing for goneFor.
func (b *Bucket) restore(ctx context.Context) (*jetstream.StreamInfo, error) {
	for deadline := time.Now().Add(goneFor); time.Now().Before(deadline); {
		sleep(ctx, openPause)
		if info, err := b.info(ctx); !errors.Is(err, jetstream.ErrStreamNotFound) {
			return info, err
		}
	}
	b.store.cfg.Logger.Error("event log: a bucket was lost; making it again", "bucket", b.name)
	if _, err := b.make(ctx); err != nil {
		return nil, err
	}
	return b.info(ctx)
}

const (
	// keyOperation is the header of a message that deletes a key, and keyMarker that of a
	// key that the server has removed.
	keyOperation = "KV-Operation"
	keyMarker    = "Nats-Marker-Reason"
)

// follow passes the stream's messages to f.
func (b *Bucket) follow(ctx context.Context, f func(auth.Change)) error {
	prefix := storage.BucketSubjects(b.name)
	w := watcher{known: make(map[string]bool), f: f}
	// The watch is synced after as many messages as existed when it began, or when no more are
	// pending: of several changes of a key only the last is delivered.
	n, left := uint64(0), uint64(0) // messages that came, and that existed
	return b.store.follow(ctx, b.stream, transient(jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
		FilterSubject: prefix + ">",
	}), func(pending uint64) {
		if left = pending; left == 0 {
			w.synced()
		}
	}, func(m storage.Message) error {
		c := auth.Change{Key: strings.TrimPrefix(m.Subject, prefix), Value: m.Data, Revision: b.revision(m.Seq)}
		if m.Header.Get(keyOperation) != "" || m.Header.Get(keyMarker) != "" {
			c.Value, c.Deleted = nil, true
		}
		w.pass(c)
		b.moveTo(m.Seq)
		if n++; w.known != nil && (n >= left || m.Pending == 0) {
			w.synced()
		}
		return nil
	})
}

// CatchUp waits for the watch. moveTo wakes it: it records that a watch has passed on everything up to a sequence.
func (b *Bucket) moveTo(seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watched = seq; b.moved != nil {
		close(b.moved)
		b.moved = nil
	}
}

// CatchUp implements [auth.SharedStore].
func (b *Bucket) CatchUp(ctx context.Context) error {
	if !b.store.Shared() { // every change came from this process
		return nil
	}
	info, err := b.info(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	for {
		b.mu.Lock()
		if b.watched >= info.State.LastSeq || info.State.Msgs == 0 {
			b.mu.Unlock()
			return nil
		}
		if b.moved == nil {
			b.moved = make(chan struct{})
		}
		moved := b.moved
		b.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", storage.ErrUnavailable, ctx.Err())
		}
	}
}

// A watcher passes changes to a function.
type watcher struct {
	known map[string]bool // keys passed on before Synced; nil after it
	f     func(auth.Change)
}

// synced reports that every key that exists has been passed on.
func (w *watcher) synced() {
	w.known = nil
	w.f(auth.Change{Synced: true})
}

// pass passes one change on. The stream keeps a marker for each deleted key. Before Synced,
// the marker of a key that was not passed on is left out.
func (w *watcher) pass(c auth.Change) {
	if w.known != nil {
		if c.Deleted && !w.known[c.Key] {
			return
		}
		w.known[c.Key] = true
	}
	w.f(c)
}
