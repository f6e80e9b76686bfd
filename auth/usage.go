// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"time"
)

const (
	// usageInterval is how often last uses are stored.
	usageInterval = time.Minute
	// usageTries limits the attempts after conflicts with other nodes. The next interval
	// tries again.
	usageTries = 4
)

// saveUsages stores last uses every usageInterval until ctx ends. It runs on its own
// goroutine, so that a slow store delays nothing else.
func (r *Registry) saveUsages(ctx context.Context) {
	for _, c := range r.orphans {
		r.deleteUsage(ctx, c.id, c.revision)
	}
	ticker := time.NewTicker(usageInterval)
	defer ticker.Stop()
	for ticks := 0; ; ticks++ {
		select {
		case <-ticker.C:
			r.saveUsage(ctx)
			if ticks%grantedPruneEvery == 0 {
				r.pruneGranted(ctx)
			}
		case <-ctx.Done():
			return
		}
	}
}

// saveUsage stores every last use that is not in the store. When the store fails, it
// leaves the rest for the next interval.
func (r *Registry) saveUsage(ctx context.Context) {
	ids := r.dir.unsaved()
	for i, id := range ids {
		err := r.saveGateway(ctx, id)
		if err != nil && !errors.Is(err, ErrConflict) {
			r.log.Warn("registry: cannot store the last uses of tokens; retrying in a minute",
				"gateways", len(ids)-i, "error", err)
			return
		}
	}
}

// saveGateway merges the last uses of a gateway's tokens into those of other nodes: a
// gateway can use one token on several nodes.
func (r *Registry) saveGateway(ctx context.Context, id string) (err error) {
	for range usageTries {
		err = r.trySaveGateway(ctx, id)
		if !errors.Is(err, ErrConflict) {
			break
		}
	}
	return err
}

// trySaveGateway is one attempt of saveGateway.
func (r *Registry) trySaveGateway(ctx context.Context, id string) error {
	e := r.dir.entry(id)
	if e == nil {
		return nil // removed in the meantime
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	known, revision, err := r.readUsage(ctx, id)
	if err != nil {
		return err
	}
	for _, g := range e.grants {
		if at, ok := known[g.TokenID]; ok {
			g.mergeUsed(at.UnixNano())
		}
	}
	u := usageOf(e)
	if revision == 0 {
		_, err = r.store.Create(ctx, usagePrefix+id, u.encode())
	} else {
		_, err = r.store.Update(ctx, usagePrefix+id, u.encode(), revision)
	}
	return err // after success the watch reports what is stored
}

// usageOf returns the last uses of the tokens of an entry.
func usageOf(e *entry) usage {
	u := make(usage, len(e.grants))
	for _, g := range e.grants {
		if used := g.used.Load(); used != 0 {
			u[g.TokenID] = time.Unix(0, used).UTC()
		}
	}
	return u
}

// readUsage reads a gateway's usage from the store. The revision is 0 without one. A
// corrupt one is empty.
func (r *Registry) readUsage(ctx context.Context, id string) (usage, uint64, error) {
	value, revision, err := r.store.Get(ctx, usagePrefix+id)
	if errors.Is(err, ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	u, err := parseUsage(value)
	if err != nil {
		return nil, revision, nil //nolint:nilerr // the caller replaces a corrupt one
	}
	return u, revision, nil
}

// dropUsage deletes the usage of a removed gateway. If that fails, the next start does it.
func (r *Registry) dropUsage(ctx context.Context, id string) {
	switch _, revision, err := r.store.Get(ctx, usagePrefix+id); {
	case err == nil:
		r.deleteUsage(ctx, id, revision)
	case !errors.Is(err, ErrNotFound):
		r.log.Debug("registry: cannot delete the last uses of a removed gateway; the next start deletes them", "gateway", id, "error", err)
	}
}

// deleteUsage deletes a usage, unless it has changed since and so is in use.
func (r *Registry) deleteUsage(ctx context.Context, id string, revision uint64) {
	err := r.store.Delete(ctx, usagePrefix+id, revision)
	if err != nil && !errors.Is(err, ErrConflict) {
		r.log.Debug("registry: cannot delete the last uses of a removed gateway; the next start deletes them", "gateway", id, "error", err)
	}
}
