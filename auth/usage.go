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
	// usageTries is how often a node tries when another is quicker; after that
	// the next time will do.
	usageTries = 4
)

// saveUsages stores last uses until ctx ends. It runs on a goroutine of its own,
// so that a slow store delays nothing else.
func (r *Registry) saveUsages(ctx context.Context) {
	for _, c := range r.orphans {
		r.deleteUsage(ctx, c.id, c.revision)
	}
	ticker := time.NewTicker(usageInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.saveUsage(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// saveUsage stores every last use that the store does not know. When the store
// fails it leaves the rest for the next time.
func (r *Registry) saveUsage(ctx context.Context) {
	ids := r.dir.unsaved()
	for i, id := range ids {
		err := r.saveGateway(ctx, id)
		if err != nil && !errors.Is(err, ErrConflict) {
			r.log.Warn("registry: last uses of tokens are not stored; they will be tried again while the program runs",
				"gateways", len(ids)-i, "error", err)
			return
		}
	}
}

// saveGateway stores the last uses of a gateway's tokens, among those that other
// nodes store.
func (r *Registry) saveGateway(ctx context.Context, id string) (err error) {
	for range usageTries {
		err = r.trySaveGateway(ctx, id)
		if !errors.Is(err, ErrConflict) {
			break
		}
	}
	return err
}

func (r *Registry) trySaveGateway(ctx context.Context, id string) error {
	e := r.dir.entry(id)
	if e == nil {
		return nil // removed since
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
	return err // when none, the watch will tell what is saved
}

// usageOf returns when the tokens of an entry were last used.
func usageOf(e *entry) usage {
	u := make(usage, len(e.grants))
	for _, g := range e.grants {
		if used := g.used.Load(); used != 0 {
			u[g.TokenID] = time.Unix(0, used).UTC()
		}
	}
	return u
}

// readUsage gets a gateway's usage from the store. The revision is 0 when there
// is none; a corrupt one is empty.
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
		return nil, revision, nil //nolint:nilerr // what is corrupt is replaced
	}
	return u, revision, nil
}

// dropUsage deletes the usage of a gateway that is gone. If it cannot, the next
// start will.
func (r *Registry) dropUsage(ctx context.Context, id string) {
	switch _, revision, err := r.store.Get(ctx, usagePrefix+id); {
	case err == nil:
		r.deleteUsage(ctx, id, revision)
	case !errors.Is(err, ErrNotFound):
		r.log.Debug("registry: the last uses of a removed gateway stay until the next start", "gateway", id, "error", err)
	}
}

// deleteUsage deletes a usage unless it has changed: then somebody needs it.
func (r *Registry) deleteUsage(ctx context.Context, id string, revision uint64) {
	err := r.store.Delete(ctx, usagePrefix+id, revision)
	if err != nil && !errors.Is(err, ErrConflict) {
		r.log.Debug("registry: the last uses of a removed gateway stay until the next start", "gateway", id, "error", err)
	}
}
