// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// Options say how a [Registry] works. The zero Options are ready for use.
type Options struct {
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: nothing is logged
	// OnRevoke is called for every grant that ends while it stands, once; nil: it
	// is not. It runs on the registry's goroutine, so it must neither block nor
	// change the registry.
	OnRevoke func(Revocation)
	// OnCorrupt is called for every entry of the store that cannot be read, and so lets
	// nobody in; nil: it is not. It must not block.
	OnCorrupt func(error)
	// External says that there are gateways that are not registered: a [Verifier] knows
	// their tokens. Any id may then be a target's.
	External bool
	// Position returns the log's position: no event that somebody holds the receipt of
	// lies after it. It becomes the barrier of who is registered now. Nil: there are no
	// barriers.
	Position func(context.Context) (event.Cursor, error)
	// RetryFor is how long Open tries again when the store cannot be read: a cluster of
	// servers may be choosing a leader. 0: Open fails at the first error.
	RetryFor time.Duration
}

// A Registry knows the gateways and their tokens. Its methods may be called by
// any goroutine. The ones without a context only read memory.
type Registry struct {
	// Constant after Open.
	store Store
	now   func() time.Time
	log   *slog.Logger
	// onCorrupt is Options.OnCorrupt.
	onCorrupt func(error)
	at        func(context.Context) (event.Cursor, error) // Options.Position
	dir       *directory
	start     atomic.Pointer[start] // of the registry's barriers
	orphans   []usageChange         // usages left behind by gateways that were there once

	tasks chan func(now time.Time) // run by the registry's goroutine
	done  <-chan struct{}          // closed when Close begins
	stop  context.CancelFunc
	wg    sync.WaitGroup
	once  sync.Once // of Close

	// watching is the number of the watch that runs, and synced that of the one that has
	// told all that is in the store.
	watching, synced atomic.Uint64

	keeper *keeper // owned by the registry's goroutine
}

const (
	// watchPause is between a watch that failed and the next.
	watchPause = 250 * time.Millisecond
	// storeTimeout bounds what the registry does to the store on its own.
	storeTimeout = 5 * time.Second
)

var errClosed = errors.New("the registry is closed; the change may have been made")

// Open returns a registry that has loaded everything in the store. The context
// bounds the loading; the registry lives until Close.
func Open(ctx context.Context, store Store, o Options) (*Registry, error) {
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
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	r := &Registry{
		store: store, now: o.Now, log: o.Logger, onCorrupt: o.OnCorrupt, at: o.Position, dir: newDirectory(),
		tasks: make(chan func(time.Time), 64), done: life.Done(), stop: stop,
	}
	r.dir.open = o.External
	r.keeper = newKeeper(r.dir, o)
	err := r.load(ctx, life, o.RetryFor)
	if err != nil {
		stop()
		r.wg.Wait()
		return nil, fmt.Errorf("the registry cannot be loaded: %w", err)
	}
	begun, err := r.beginPatiently(ctx, o.RetryFor)
	r.start.Store(&begun)
	if err != nil { // as on a full disk; the next start will do
		r.start.Store(new(start))
		r.log.Warn("registry: when it was first opened cannot be read or kept", "key", startKey, "error", err)
	}
	r.wg.Go(func() { r.saveUsages(life) })
	return r, nil
}

// load starts the goroutines and waits until the store has been read. It tries again
// for as long as patience says.
func (r *Registry) load(ctx, life context.Context, patience time.Duration) error {
	loaded := make(chan error, 1)
	r.wg.Go(func() { r.run(life) })
	r.wg.Go(func() { r.watch(life, loaded, patience) })
	select {
	case err := <-loaded:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the registry's goroutines and stores what they had not stored yet.
// What it knew can still be read.
func (r *Registry) Close() {
	r.once.Do(func() {
		r.stop()
		r.wg.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		defer cancel()
		r.saveUsage(ctx)
	})
}

// run is the registry's goroutine. It owns the keeper.
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
		timer.Reset(r.keeper.tick(r.now()))
	}
}

// post hands a task to the registry's goroutine, and reports whether it is still
// there.
func (r *Registry) post(task func(now time.Time)) bool {
	select {
	case r.tasks <- task:
		return true
	case <-r.done:
		return false
	}
}

// apply returns when a task has run.
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

// watch carries the store's changes to the registry's goroutine until ctx ends.
// It sends one value on loaded: nil when the store has been read, else why it could not
// be read before patience was over.
func (r *Registry) watch(ctx context.Context, loaded chan error, patience time.Duration) {
	f := feed{r: r, loaded: loaded}
	began, failure := time.Now(), ""
	for {
		f.watch++
		r.watching.Store(f.watch)
		r.post(func(time.Time) { r.keeper.beginWatch() })
		err := r.store.Watch(ctx, f.take)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("the store ended it")
		}
		if !f.synced && time.Since(began) >= patience {
			f.report(fmt.Errorf("the store cannot be watched: %w", err))
			return
		}
		if r.synced.Load() == f.watch || err.Error() != failure { // each once, for it may be tried for long
			r.log.Error("registry: the watch of the store ended; nobody is let in until the next has told all", "error", err)
		}
		failure = err.Error()
		r.watching.Store(0)
		if !sleep(ctx, watchPause) {
			return
		}
	}
}

// Synced reports whether this node knows what is in the store, but for what is on its
// way. Otherwise a token that it does not know may be a gateway's, and one that it knows
// may be revoked.
func (r *Registry) Synced() bool {
	watch := r.watching.Load()
	return watch != 0 && r.synced.Load() == watch
}

// ErrNotSynced says that this node does not know all that is in the store.
var ErrNotSynced = errors.New("the registry is not in sync with the other nodes'")

// CatchUp returns when the registry knows every change that was made on any node before
// the call, else why it cannot tell. What the registry then does not know, there is not.
func (r *Registry) CatchUp(ctx context.Context) error {
	if shared, ok := r.store.(SharedStore); ok {
		if !r.Synced() {
			return ErrNotSynced
		}
		if err := shared.CatchUp(ctx); err != nil {
			return err
		}
		if err := r.apply(func(time.Time) {}); err != nil { // what was posted before is done then
			return err
		}
	}
	if !r.Synced() {
		return ErrNotSynced
	}
	return nil
}

// sleep waits, and reports whether ctx is still alive.
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

// Verify returns the grant of a token's secret. It answers the same to a secret
// that is unknown, expired, revoked or empty. A token that expired because
// somebody set the clock forward stays so until a restart.
func (r *Registry) Verify(secret string) (*Grant, bool) {
	d, ok := digestOf(secret)
	if !ok {
		return nil, false
	}
	g := r.dir.grant(d)
	if g == nil {
		return nil, false
	}
	now := r.now()
	if _, revoked := g.Revoked(); revoked || g.expired(now) {
		return nil, false
	}
	g.used.Store(now.UnixNano())
	return g, true
}

// Get returns a registered gateway.
func (r *Registry) Get(id string) (Gateway, bool) {
	e := r.dir.entry(id)
	if e == nil || e.vouched {
		return Gateway{}, false
	}
	return *e.gateway, true
}

// Lookup returns a gateway that is registered or that the platform vouches for; nil
// when there is none.
func (r *Registry) Lookup(id string) *Gateway {
	e := r.dir.entry(id)
	if e == nil {
		return nil
	}
	return e.gateway
}

// HasLocal reports whether a gateway has a connection to this node.
func (r *Registry) HasLocal(gatewayID string) bool {
	e := r.dir.entry(gatewayID)
	return e != nil && e.presence.here.Load() > 0
}

// List returns up to limit gateways, but at least one, in the order of their
// ids, from the first id that is greater than after. When there are more, next
// is the after of the next page.
func (r *Registry) List(after string, limit int) (page []Gateway, next string) {
	return r.dir.page(after, max(limit, 1))
}

// Tokens returns the tokens of a gateway, the oldest first. An expired one is
// among them until another takes its place.
func (r *Registry) Tokens(gatewayID string) ([]Token, error) {
	e := r.dir.entry(gatewayID)
	if e == nil || e.vouched {
		return nil, noGateway(gatewayID)
	}
	tokens := make([]Token, len(e.grants))
	for i, g := range e.grants {
		tokens[i] = g.token()
	}
	return tokens, nil
}

// Reach returns how many gateways a target has, and how many of them have a
// connection on any node. If the target names a gateway that is not registered,
// unknown is the first such id and the counts are 0; a group nobody is in has no
// gateways and is not unknown.
func (r *Registry) Reach(t event.Target) (targets, connected int, unknown string) {
	return r.dir.reach(t)
}

// Disconnected returns up to limit gateways of a target that have no connection anywhere,
// and how many those are in all.
func (r *Registry) Disconnected(t event.Target, limit int) (ids []string, total int) {
	return r.dir.away(t, limit)
}

// EachTarget calls f with every gateway of a target that is registered, or may be known to
// the platform. F must not call the registry.
func (r *Registry) EachTarget(t event.Target, f func(*Gateway)) {
	r.dir.mu.RLock()
	defer r.dir.mu.RUnlock()
	for g := range r.dir.target(t) {
		f(g)
	}
}

// EachLocal calls f with the id of every gateway that has a connection to this node. F
// must not call the registry.
func (r *Registry) EachLocal(f func(id string)) {
	r.dir.mu.RLock()
	defer r.dir.mu.RUnlock()
	for p, g := range r.dir.all {
		if p.here.Load() > 0 {
			f(g.ID)
		}
	}
}

// elsewhereBatch bounds for how many gateways the directory is locked at once.
const elsewhereBatch = 500

// UpdateRemote reports that one node more has a connection of each gateway in on, and one
// less of each in off. A gateway may be reported before this node knows it, or after it
// has removed it. One goroutine at a time may call it.
func (r *Registry) UpdateRemote(on, off []string) {
	for ids := range slices.Chunk(on, elsewhereBatch) {
		unknown := r.dir.elsewhere(ids, 1)
		for _, id := range unknown {
			if r.dir.open {
				r.vouchedElsewhere(id)
			}
		}
	}
	for ids := range slices.Chunk(off, elsewhereBatch) {
		r.dir.elsewhere(ids, -1)
	}
}

// Len returns how many gateways are registered.
func (r *Registry) Len() int { return r.dir.len() }
