// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"fmt"
	"time"
)

// A feed reads the changes that a watch tells and posts them to the registry's
// goroutine. It parses them here, on the watch's goroutine, so that loading has
// two goroutines to run on.
type feed struct {
	r      *Registry
	loaded chan<- error // has room for one value; who comes later is too late
	synced bool         // the watch has told all that was there, at least once
	watch  uint64       // number of the watch, from 1
}

// report says how the loading went, if nothing has been said yet.
func (f *feed) reportLoaded(err error) {
	select {
	case f.loaded <- err:
	default:
	}
}

// take carries one change.
func (f *feed) handle(c Change) {
	if c.Reset {
		if !f.synced { // this node knows nothing yet
			return
		}
		f.r.log.Error("registry: the store has lost what it had; it is given back what this node knows")
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
	}
}

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

func (f *feed) handleRecord(id string, c Change) {
	rec, err := parseRecord(id, c.Value)
	if err == nil {
		f.r.post(func(now time.Time) {
			f.r.state.reported(id)
			f.r.state.put(rec, c.Revision, now)
		})
		return
	}
	// It lets nobody in. A gateway that this node knows from the entry before stays: real
	// gateways exit for good when they are refused, and the entry may yet be restored.
	f.r.reportCorrupt(corruptError(c.Key, err))
	f.r.post(func(time.Time) { f.r.state.reported(id) })
}

// takeUsage carries when tokens were last used. A corrupt entry is replaced when the next
// use is stored.
func (f *feed) handleUsage(id string, c Change) {
	u, err := parseUsage(c.Value)
	if err != nil {
		f.r.reportCorrupt(corruptError(c.Key, err))
		return
	}
	f.r.post(func(time.Time) { f.r.state.applyUsage(storedUsage{id, u, c.Revision}) })
}

// takeVerified carries where a verified gateway's events begin. A corrupt entry is
// replaced when its gateway is verified.
func (f *feed) handleVerified(id string, c Change) {
	rec, err := parseVerifiedRecord(id, c.Value)
	if err != nil {
		f.r.reportCorrupt(corruptError(c.Key, err))
		return
	}
	f.r.post(func(time.Time) { f.r.state.putVerified(id, storedVerified{rec, c.Revision}) })
}

// corrupt is the error of an entry that cannot be read.
func corruptError(key string, err error) error {
	return fmt.Errorf("the entry %s is corrupt (%w); restore it from a backup, or remove its gateway and add it again", key, err)
}

// corrupted reports an entry that cannot be read and is passed over.
func (r *Registry) reportCorrupt(err error) {
	r.log.Error("registry: an entry cannot be used; this node goes by the one before it, if it knows one", "error", err)
	r.onCorrupt(err)
}
