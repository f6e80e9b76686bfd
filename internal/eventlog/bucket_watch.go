// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/auth"
)

// goneFor is how long the stream of a bucket or a journal must not be there before it
// counts as lost: a cluster that has just started may not know all of its streams yet.
const goneFor = time.Second

// Watch calls f with every present key, then with Change{Synced: true}, then
// with every later change until ctx ends, and returns ctx's error; when the log
// closes, or the connection to its servers is lost, one that matches
// [ErrUnavailable]. While there is no connection it waits for one. Of several
// changes to one key in quick succession only the last may be told. F is called
// on Watch's own goroutine.
//
// A bucket that is lost while the log is open is made again, empty. Watch then begins
// with Change{Reset: true}.
func (b *Bucket) Watch(ctx context.Context, f func(auth.Change)) error {
	ctx, done, err := b.log.reading(ctx)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel, err := b.log.connected(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	reset, err := b.find(ctx)
	if err != nil {
		return b.cut(ctx, err)
	}
	if reset {
		f(auth.Change{Reset: true})
	}
	return b.cut(ctx, b.follow(ctx, f))
}

// cut returns why a watch ended.
func (b *Bucket) cut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return fmt.Errorf("%w: watch: %w", ErrUnavailable, err)
}

// find sees that the bucket's stream is there. Reset is true when it is not the one it
// was, or has gone back: what it had may be gone.
func (b *Bucket) find(ctx context.Context) (reset bool, err error) {
	b.mu.Lock()
	newest := b.newest // before the stream is asked, which may go on meanwhile
	b.mu.Unlock()
	info, err := b.info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) && b.log.server.shared() {
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
	b.created, b.base, b.told = info.Created, b.newest, 0
	return true, nil
}

// restore makes the bucket's stream again once it has been gone for a while.
func (b *Bucket) restore(ctx context.Context) (*jetstream.StreamInfo, error) {
	for deadline := time.Now().Add(goneFor); time.Now().Before(deadline); {
		pauseFor(ctx, openPause)
		if info, err := b.info(ctx); !errors.Is(err, jetstream.ErrStreamNotFound) {
			return info, err
		}
	}
	b.log.cfg.Logger.Error("event log: a bucket was lost, and is made again", "bucket", b.name)
	if _, err := b.make(ctx); err != nil {
		return nil, err
	}
	return b.info(ctx)
}

const (
	// keyOperation is the header that says what happened to a key, if it is not put, and
	// keyMarker the one of a key that the server has removed.
	keyOperation = "KV-Operation"
	keyMarker    = "Nats-Marker-Reason"
)

// follow carries the stream's messages to f.
func (b *Bucket) follow(ctx context.Context, f func(auth.Change)) error {
	prefix := "$KV." + b.name + "."
	t := telling{told: make(map[string]bool), f: f}
	n, left := uint64(0), uint64(0) // how many came, and how many there were
	return b.log.consume(ctx, b.stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
		FilterSubject: prefix + ">",
	}, func(pending uint64) {
		if left = pending; left == 0 {
			t.synced()
		}
	}, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		c := auth.Change{Key: strings.TrimPrefix(m.Subject(), prefix), Value: m.Data(), Revision: b.revision(meta.Sequence.Stream)}
		if h := m.Headers(); h.Get(keyOperation) != "" || h.Get(keyMarker) != "" {
			c.Value, c.Deleted = nil, true
		}
		t.tell(c)
		b.moveTo(meta.Sequence.Stream)
		if n++; t.told != nil && (n >= left || meta.NumPending == 0) {
			t.synced()
		}
		return nil
	})
}

// moveTo notes that a watch has told everything up to a sequence.
func (b *Bucket) moveTo(seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told = seq; b.moved != nil {
		close(b.moved)
		b.moved = nil
	}
}

// CatchUp implements [auth.SharedStore].
func (b *Bucket) CatchUp(ctx context.Context) error {
	if !b.log.server.shared() { // every change was this process's
		return nil
	}
	info, err := b.info(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for {
		b.mu.Lock()
		if b.told >= info.State.LastSeq || info.State.Msgs == 0 {
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
			return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
	}
}

// A telling passes changes on.
type telling struct {
	told map[string]bool // keys told before all were; nil after
	f    func(auth.Change)
}

func (t *telling) synced() {
	t.told = nil
	t.f(auth.Change{Synced: true})
}

// tell passes one change on. The store keeps a marker for a deleted key; one for
// a key that was not told before is not worth telling.
func (t *telling) tell(c auth.Change) {
	if t.told != nil {
		if c.Deleted && !t.told[c.Key] {
			return
		}
		t.told[c.Key] = true
	}
	t.f(c)
}
