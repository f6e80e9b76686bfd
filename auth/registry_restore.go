// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// When the store loses data while nodes run, or goes back to an older copy, each node
// writes back what it knows: it adds missing records and replaces older ones, by
// revision. So nodes do not overwrite each other, and the newest record of each gateway
// remains. A revoked token and a gateway removed in the last removalTTL stay revoked and
// removed if one of the running nodes knew that.

// beginRestore is called when the store has lost data.
func (s *registryState) beginRestore() {
	s.restoring = true
	s.stale = make(map[string]uint64)
}

// outdated reports whether a record is older than what this node knows about its gateway.
// old is the gateway's entry.
func (s *registryState) outdated(rec *record, old *entry) bool {
	if r, ok := s.removed[rec.ID]; ok && (old == nil || old.external) {
		return !rec.registration().After(r.registration)
	}
	return old != nil && !old.external && rec.before(old.registration(), old.edits)
}

// A repair is one write to the store. A nil value deletes the key.
type repair struct {
	key      string
	value    []byte
	revision uint64  // of the key in the store; 0: no such key
	rec      *record // of value, if it is a registered gateway's
}

// repairs returns the writes that bring the store up to date: records the watch did not
// report, records in the store that are older than ours, and records of external gateways.
func (s *registryState) repairs() (list []repair) {
	for id := range s.unreported {
		if e := s.dir.entries[id]; e != nil && !e.external {
			list = append(list, repairOf(e, 0))
		}
	}
	for id, revision := range s.stale {
		if e := s.dir.entries[id]; e != nil && !e.external {
			list = append(list, repairOf(e, revision))
		} else {
			list = append(list, repair{key: recordPrefix + id, revision: revision})
		}
	}
	for id, stored := range s.verifiedRecords {
		list = append(list, repair{key: verifiedKey + id, value: stored.record.encode()})
	}
	return list
}

// repairOf returns the write of an entry's record.
func repairOf(e *entry, revision uint64) repair {
	rec := e.record()
	return repair{key: recordPrefix + rec.ID, value: rec.encode(), revision: revision, rec: rec}
}

// record returns the record of an entry.
func (e *entry) record() *record {
	g := e.gateway
	rec := &record{
		ID: g.ID, Name: g.Name, OrganizationID: g.OrganizationID, Groups: g.Groups, CreatedAt: g.CreatedAt,
		Since: e.since, Edits: e.edits, RegisteredAt: g.Barrier.Own, OrganizationSince: g.Barrier.Organization,
	}
	for i, at := range g.Barrier.Groups {
		if at != g.Barrier.All {
			if rec.JoinedAt == nil {
				rec.JoinedAt = make(map[string]event.Cursor)
			}
			rec.JoinedAt[g.Groups[i]] = at
		}
	}
	for _, t := range e.grants {
		rec.Tokens = append(rec.Tokens, tokenRecord{ID: t.TokenID, SHA256: t.digest, CreatedAt: t.createdAt, ExpiresAt: t.expiresAt})
	}
	return rec
}

// endRestore is called when the store has everything again.
func (s *registryState) endRestore() {
	s.restoring, s.stale, s.unreported = false, nil, nil
	for _, e := range s.dir.entries {
		for _, g := range e.grants {
			g.saved.Store(0) // so that last uses are stored again
		}
	}
}

// restoreWorkers is the number of concurrent repairs.
const restoreWorkers = 16

// restore brings the store up to date, on its own goroutine, until another watch starts. It
// is called on the registry's goroutine, which must go on ending grants while the store is
// slow. The node is in sync only when everything is written back: until then, a record
// that is missing in the store says nothing.
func (r *Registry) restore(watch uint64) {
	list := r.state.repairs()
	if s := r.firstOpen.Load(); s != nil && !s.At.IsZero() {
		list = append(list, repair{key: firstOpenKey, value: s.encode()})
	}
	r.wg.Go(func() {
		if !r.repairAll(watch, list) {
			return
		}
		r.post(func(time.Time) {
			if r.watching.Load() != watch {
				return // the next watch restores the rest
			}
			r.state.endRestore()
			r.synced.Store(watch)
			r.log.Info("registry: wrote everything back to the store", "entries", len(list))
		})
	})
}

// repairAll makes repairs, and reports whether all succeeded.
func (r *Registry) repairAll(watch uint64, list []repair) bool {
	var failed atomic.Bool
	work := make(chan *repair)
	var workers sync.WaitGroup
	for range restoreWorkers {
		workers.Go(func() {
			for p := range work {
				if !r.repair(watch, p) {
					failed.Store(true)
				}
			}
		})
	}
	for i := range list {
		work <- &list[i]
	}
	close(work)
	workers.Wait()
	return !failed.Load()
}

// repair makes one repair, and retries while the store fails. It reports whether the
// repair succeeded.
func (r *Registry) repair(watch uint64, p *repair) bool {
	for r.watching.Load() == watch {
		err := r.tryRepair(p)
		if err == nil {
			return true
		}
		select {
		case <-r.done:
			return false
		default:
		}
		r.log.Warn("registry: cannot write an entry back to the store; retrying", "key", p.key, "error", err)
		select {
		case <-time.After(watchRetryDelay):
		case <-r.done:
			return false
		}
	}
	return false
}

// tryRepair makes one repair. After a conflict with another node's write it compares both
// values.
func (r *Registry) tryRepair(p *repair) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	for range maxTries {
		revision := p.revision
		switch {
		case p.value == nil:
			err = r.store.Delete(ctx, p.key, p.revision)
		case p.revision == 0:
			revision, err = r.store.Create(ctx, p.key, p.value)
		default:
			revision, err = r.store.Update(ctx, p.key, p.value, p.revision)
		}
		switch {
		case errors.Is(err, ErrConflict):
			if done, err := r.resolveConflict(ctx, p); done || err != nil {
				return err
			}
			continue
		case err != nil || p.rec == nil:
			return err
		}
		rec := p.rec
		return r.apply(func(now time.Time) { r.state.put(rec, revision, now) })
	}
	return err
}

// resolveConflict reads what another node wrote, and reports whether nothing is left to do.
func (r *Registry) resolveConflict(ctx context.Context, p *repair) (done bool, err error) {
	value, revision, err := r.store.Get(ctx, p.key)
	switch {
	case errors.Is(err, ErrNotFound):
		p.revision = 0
		return p.value == nil, nil
	case err != nil:
		return false, err
	case p.rec == nil: // another node's value is as good, and a deletion is for the seen revision only
		return true, nil
	}
	if rec, err := parseRecord(p.rec.ID, value); err == nil && !rec.before(p.rec.registration(), p.rec.Edits) {
		return true, nil
	}
	p.revision = revision
	return false, nil
}
