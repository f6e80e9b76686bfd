// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// watchRetryDelay is the pause between a failed watch and the next one.
const watchRetryDelay = 250 * time.Millisecond

// watch carries the store's changes to the registry's goroutine until ctx ends. It sends
// one value on loaded: nil when the store has been read, or the error after retryFor.
func (r *Registry) watch(ctx context.Context, loaded chan error, retryFor time.Duration) {
	f := feed{r: r, loaded: loaded}
	began, lastError := time.Now(), ""
	for {
		f.watch++
		r.watching.Store(f.watch)
		r.post(func(time.Time) { r.state.beginWatch() })
		err := r.store.Watch(ctx, f.handle)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("the store ended it")
		}
		if !f.synced && time.Since(began) >= retryFor {
			f.reportLoaded(fmt.Errorf("cannot watch the store: %w", err))
			return
		}
		if r.synced.Load() == f.watch || err.Error() != lastError { // retries can take long: log each error once
			r.log.Error("registry: the watch of the store ended; connections are refused until a new watch has read the store", "error", err)
		}
		lastError = err.Error()
		r.watching.Store(0)
		if !sleep(ctx, watchRetryDelay) {
			return
		}
	}
}

// Synced reports whether this node knows what is in the store, except for changes on
// their way. While it is false, an unknown token can be valid and a known token can be
// revoked.
func (r *Registry) Synced() bool {
	watch := r.watching.Load()
	return watch != 0 && r.synced.Load() == watch
}

// ErrNotSynced says that this node does not know everything in the store.
var ErrNotSynced = errors.New("the registry is not in sync with the other nodes")

// CatchUp returns when the registry knows every change that any node made before the
// call, or an error when it cannot find that out. After a nil error, what the registry
// does not know does not exist.
func (r *Registry) CatchUp(ctx context.Context) error {
	if shared, ok := r.store.(SharedStore); ok {
		if !r.Synced() {
			return ErrNotSynced
		}
		if err := shared.CatchUp(ctx); err != nil {
			return err
		}
		if err := r.apply(func(time.Time) {}); err != nil { // earlier tasks have run after it
			return err
		}
	}
	if !r.Synced() {
		return ErrNotSynced
	}
	return nil
}

// A feed parses the changes of a watch and posts them to the registry's goroutine. It
// belongs to the watch's goroutine, so that loading uses two goroutines.
type feed struct {
	r      *Registry
	loaded chan<- error // has room for one value; later ones are dropped
	synced bool         // a watch has reported everything at least once
	watch  uint64       // number of the watch, from 1
}

// reportLoaded reports the result of loading, once.
func (f *feed) reportLoaded(err error) {
	select {
	case f.loaded <- err:
	default:
	}
}

// handle handles one change.
func (f *feed) handle(c Change) {
	if c.Reset {
		if !f.synced { // this node knows nothing yet
			return
		}
		f.r.log.Error("registry: the store lost data; writing back what this node knows")
		f.r.post(func(time.Time) { f.r.state.beginRestore() })
		return
	}
	if c.Synced {
		f.sync()
		return
	}
	switch kind, id := cutKey(c.Key); {
	case kind == recordPrefix && c.Deleted:
		f.r.post(func(now time.Time) { f.r.state.remove(id, c.Revision, now) })
	case kind == recordPrefix:
		f.handleRecord(id, c)
	case kind == usagePrefix && !c.Deleted:
		f.handleUsage(id, c)
	case kind == verifiedKey && c.Deleted:
		f.r.post(func(time.Time) { f.r.state.deleteVerified(id, c.Revision) })
	case kind == verifiedKey:
		f.handleVerified(id, c)
	case kind == grantedKey:
		f.handleGranted(id, c)
	}
}

// sync handles the end of a watch's first pass over the store.
func (f *feed) sync() {
	first, watch := !f.synced, f.watch
	f.synced = true
	f.r.post(func(now time.Time) {
		orphans := f.r.state.endWatch(now)
		if first {
			f.r.orphans = orphans
		}
		if f.r.state.restoring {
			f.r.restore(watch)
			return
		}
		f.r.synced.Store(watch)
		f.reportLoaded(nil)
	})
}

// handleRecord handles the record of a registered gateway.
func (f *feed) handleRecord(id string, c Change) {
	rec, err := parseRecord(id, c.Value)
	if err == nil {
		f.r.post(func(now time.Time) {
			f.r.state.reported(id)
			f.r.state.put(rec, c.Revision, now)
		})
		return
	}
	// Tokens of a corrupt entry are refused. A gateway that this node knows from the
	// previous value stays: real gateways exit for good on a refusal, and the entry can
	// still be restored.
	f.r.reportCorrupt(corruptError(c.Key, err))
	f.r.post(func(time.Time) { f.r.state.reported(id) })
}

// handleUsage handles the times of the last uses of tokens. The next use replaces a
// corrupt entry.
func (f *feed) handleUsage(id string, c Change) {
	u, err := parseUsage(c.Value)
	if err != nil {
		f.r.reportCorrupt(corruptError(c.Key, err))
		return
	}
	f.r.post(func(time.Time) { f.r.state.applyUsage(storedUsage{id, u, c.Revision}) })
}

// handleVerified handles the record of an external gateway. The next verification of the
// gateway replaces a corrupt entry.
func (f *feed) handleVerified(id string, c Change) {
	rec, err := parseVerifiedRecord(id, c.Value)
	if err != nil {
		f.r.reportCorrupt(corruptError(c.Key, err))
		return
	}
	f.r.post(func(time.Time) { f.r.state.putVerified(id, storedVerified{rec, c.Revision}) })
}

// corruptError is the error of an entry that cannot be parsed.
func corruptError(key string, err error) error {
	return fmt.Errorf("the entry %s is corrupt (%w); restore it from a backup, or remove its gateway and add it again", key, err)
}

// reportCorrupt reports an entry that cannot be parsed and is skipped.
func (r *Registry) reportCorrupt(err error) {
	r.log.Error("registry: skipping a corrupt entry; this node keeps the previous value, if it has one", "error", err)
	r.onCorrupt(err)
}
