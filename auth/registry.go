// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// Options configure a [Registry]. The zero Options are ready for use.
type Options struct {
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: nothing is logged
	// OnRevoke is called once for every grant that ends while it is valid; nil: not
	// called. It runs on the registry's goroutine, so it must neither block nor change
	// the registry.
	OnRevoke func(Revocation)
	// OnCorrupt is called for every entry of the store that cannot be parsed, whose
	// tokens are refused; nil: not called. It must not block.
	OnCorrupt func(error)
	// External says that gateways without a registration exist: a [Verifier] knows their
	// tokens. A target can then name any id.
	External bool
	// Position returns the log's position: no event with a receipt lies after it. It
	// becomes the barrier of a gateway that is registered now. Nil: no barriers.
	Position func(context.Context) (event.Cursor, error)
	// RetryFor is how long Open retries while the store cannot be read, for example
	// because a cluster elects a leader. 0: Open fails at the first error.
	RetryFor time.Duration
}

// setDefaults replaces the fields that have a default.
func (o *Options) setDefaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnCorrupt == nil {
		o.OnCorrupt = func(error) {}
	}
	if o.OnRevoke == nil {
		o.OnRevoke = func(Revocation) {}
	}
	if o.Position == nil {
		o.Position = func(context.Context) (event.Cursor, error) { return event.Cursor{}, nil }
	}
}

// A Registry holds the gateways and their tokens. Any goroutine can call its methods.
// Methods without a context only read memory.
type Registry struct {
	// Constant after Open.
	store     Store
	now       func() time.Time
	log       *slog.Logger
	onCorrupt func(error)                                 // Options.OnCorrupt
	position  func(context.Context) (event.Cursor, error) // Options.Position
	dir       *directory
	firstOpen atomic.Pointer[firstOpen]
	granted   grantedTokens // has its own lock
	orphans   []storedUsage // usages of gateways that no longer exist; set before the watch is synced

	tasks chan func(now time.Time) // run by the registry's goroutine
	done  <-chan struct{}          // closed at the start of Close
	stop  context.CancelFunc
	wg    sync.WaitGroup
	once  sync.Once // of Close

	// Written by the watch's and the registry's goroutine, read by any. A watch has a
	// number, from 1.
	watching atomic.Uint64 // the watch that runs; 0: none
	synced   atomic.Uint64 // the last watch that has reported everything in the store

	state *registryState // owned by the registry's goroutine
}

// storeTimeout limits each access to the store that no caller waits for.
const storeTimeout = 5 * time.Second

var errClosed = errors.New("the registry is closed; the change was possibly stored")

// Open returns a registry that has loaded everything in the store. ctx limits the
// loading only. The registry runs until Close.
func Open(ctx context.Context, store Store, o Options) (*Registry, error) {
	o.setDefaults()
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	dir := newDirectory(o.External)
	r := &Registry{
		store: store, now: o.Now, log: o.Logger, onCorrupt: o.OnCorrupt, position: o.Position, dir: dir,
		tasks: make(chan func(time.Time), 64), done: run.Done(), stop: stop,
		state: newRegistryState(dir, o),
	}
	if err := r.load(ctx, run, o.RetryFor); err != nil {
		stop()
		r.wg.Wait()
		return nil, fmt.Errorf("cannot load the registry: %w", err)
	}
	first, err := r.retryFirstOpen(ctx, o.RetryFor)
	if err != nil { // for example a full disk; the next start tries again
		first = firstOpen{}
		r.log.Warn("registry: cannot read or store the time of the first start", "key", firstOpenKey, "error", err)
	}
	r.firstOpen.Store(&first)
	r.wg.Go(func() { r.saveUsages(run) })
	return r, nil
}

// load starts the goroutines, and returns when the store has been read.
func (r *Registry) load(ctx, run context.Context, retryFor time.Duration) error {
	loaded := make(chan error, 1)
	r.wg.Go(func() { r.run(run) })
	r.wg.Go(func() { r.watch(run, loaded, retryFor) })
	select {
	case err := <-loaded:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the registry's goroutines, and stores the last uses of tokens. Reads still
// work afterwards.
func (r *Registry) Close() {
	r.once.Do(func() {
		r.stop()
		r.wg.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		defer cancel()
		r.saveUsage(ctx)
	})
}

// run is the registry's goroutine. It owns r.state.
func (r *Registry) run(ctx context.Context) {
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	for {
		select {
		case task := <-r.tasks:
			task(r.now())
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		timer.Reset(r.state.tick(r.now()))
	}
}

// post hands a task to the registry's goroutine. It reports false after Close.
func (r *Registry) post(task func(now time.Time)) bool {
	select {
	case r.tasks <- task:
		return true
	case <-r.done:
		return false
	}
}

// apply posts a task, and returns when it has run.
func (r *Registry) apply(task func(now time.Time)) error {
	ran := make(chan struct{})
	if !r.post(func(now time.Time) { task(now); close(ran) }) {
		return errClosed
	}
	select {
	case <-ran:
		return nil
	case <-r.done:
		return errClosed
	}
}

// sleep waits for d. It reports false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
