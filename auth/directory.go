// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/subtle"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gatecast/gatecast/internal/activity"
	"github.com/gatecast/gatecast/internal/event"
)

// An entry is a gateway with its grants. It is not changed once it is in the
// directory; another takes its place.
type entry struct {
	gateway  *Gateway
	presence *presence // of every entry this gateway ever had
	grants   []*Grant  // in the order of the record's tokens
	revision uint64    // of the record
	edits    uint64    // of the record
	vouched  bool      // by the platform: there is no record
}

// A directory is the registry in memory. The registry's goroutine writes it;
// anyone may read it.
type directory struct {
	mu      sync.RWMutex
	entries map[string]*entry
	grants  map[digest]*Grant
	all     members
	groups  map[string]members
	ids     idList // of the registered ones
	// remote counts the other nodes that have a connection of a gateway, also of one
	// that is not known here yet. The presence of one that is known has the same count.
	remote map[string]int32

	// open says that any id may be a gateway's, known or not. It is constant.
	open bool
}

// A presence counts where a gateway has connections.
type presence struct {
	here      atomic.Int32 // connections to this node; the gateway's shard writes it
	elsewhere atomic.Int32 // other nodes that have one
	places    atomic.Int32 // see Grant.QuotaUsed
	requests  activity.Requests
}

func (p *presence) connected() bool { return p.here.Load() > 0 || p.elsewhere.Load() > 0 }

// members is some gateways. Counting the connected ones is nearly all cache
// misses, so it is by their presences and not by entries.
type members map[*presence]*Gateway

func (m members) connected() (n int) {
	for p := range m {
		if p.connected() {
			n++
		}
	}
	return n
}

func newDirectory() *directory {
	return &directory{
		entries: make(map[string]*entry),
		grants:  make(map[digest]*Grant),
		all:     make(members),
		groups:  make(map[string]members),
		remote:  make(map[string]int32),
	}
}

// replace puts e in the place of old; either may be nil. When both have the same
// gateway, only the grants differ.
func (d *directory) replace(old, e *entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old != nil {
		for _, g := range old.grants {
			if d.grants[g.digest] == g {
				delete(d.grants, g.digest)
			}
		}
	}
	if old != nil && (e == nil || e.gateway != old.gateway) {
		d.unlist(old)
	}
	if e == nil {
		return
	}
	for _, g := range e.grants {
		d.grants[g.digest] = g
	}
	if old == nil || e.gateway != old.gateway {
		d.list(e)
	}
	d.entries[e.gateway.ID] = e
}

func (d *directory) list(e *entry) {
	if !e.vouched {
		d.ids.insert(e.gateway.ID)
	}
	e.presence.elsewhere.Store(d.remote[e.gateway.ID])
	d.all[e.presence] = e.gateway
	for _, name := range e.gateway.Groups {
		if d.groups[name] == nil {
			d.groups[name] = make(members)
		}
		d.groups[name][e.presence] = e.gateway
	}
}

func (d *directory) unlist(e *entry) {
	delete(d.entries, e.gateway.ID)
	if !e.vouched {
		d.ids.remove(e.gateway.ID)
	}
	delete(d.all, e.presence)
	for _, name := range e.gateway.Groups {
		delete(d.groups[name], e.presence)
		if len(d.groups[name]) == 0 {
			delete(d.groups, name)
		}
	}
}

// elsewhere adds n to how many other nodes have a connection of each gateway. It
// returns those that are not known here.
func (d *directory) elsewhere(ids []string, n int32) (unknown []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		count := max(0, d.remote[id]+n)
		if count == 0 {
			delete(d.remote, id)
		} else {
			d.remote[id] = count
		}
		if e := d.entries[id]; e != nil {
			e.presence.elsewhere.Store(count)
		} else {
			unknown = append(unknown, id)
		}
	}
	return unknown
}

// grant returns the grant of a secret's digest, or nil.
func (d *directory) grant(want digest) *Grant {
	d.mu.RLock()
	g := d.grants[want]
	d.mu.RUnlock()
	// The map has found the digest, but not in constant time, and promises
	// nothing about how.
	if g == nil || subtle.ConstantTimeCompare(g.digest[:], want[:]) != 1 {
		return nil
	}
	return g
}

// entry returns the entry of a gateway, or nil.
func (d *directory) entry(id string) *entry {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.entries[id]
}

func (d *directory) len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.entries)
}

// page returns up to limit gateways whose id is greater than after; next is the
// last one's id, or empty when there are no more.
func (d *directory) page(after string, limit int) (page []Gateway, next string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	page = make([]Gateway, 0, min(limit, len(d.entries)))
	for id := range d.ids.after(after) {
		if len(page) == limit {
			return page, page[limit-1].ID
		}
		page = append(page, *d.entries[id].gateway)
	}
	return page, ""
}

// reach counts the gateways of a target, and those of them that have a
// connection.
func (d *directory) reach(t event.Target) (targets, connected int, unknown string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if t.All {
		return len(d.all), d.all.connected(), ""
	}
	if t.Group != "" {
		group := d.groups[t.Group]
		return len(group), group.connected(), ""
	}
	for _, id := range t.GatewayIDs {
		e := d.entries[id]
		if e == nil && !d.open {
			return 0, 0, id
		}
		if e != nil && e.presence.connected() || e == nil && d.remote[id] > 0 {
			connected++
		}
	}
	return len(t.GatewayIDs), connected, ""
}

// away returns up to limit gateways of a target that have no connection, and how
// many there are.
func (d *directory) away(t event.Target, limit int) (ids []string, total int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for g, p := range d.target(t) {
		if p.connected() {
			continue
		}
		if total++; len(ids) < limit {
			ids = append(ids, g.ID)
		}
	}
	return ids, total
}

// target returns the gateways of a target that are known, and those that may be.
// Mu is held.
func (d *directory) target(t event.Target) iter.Seq2[*Gateway, *presence] {
	return func(yield func(*Gateway, *presence) bool) {
		set := d.groups[t.Group]
		if t.All {
			set = d.all
		}
		for p, g := range set {
			if !yield(g, p) {
				return
			}
		}
		for _, id := range t.GatewayIDs {
			e := d.entries[id]
			if e == nil && d.open {
				e = &entry{gateway: &Gateway{ID: id}, presence: new(presence)}
				e.presence.elsewhere.Store(d.remote[id])
			}
			if e != nil && !yield(e.gateway, e.presence) {
				return
			}
		}
	}
}

// unsaved returns the gateways that have a token whose last use the store does
// not know.
func (d *directory) unsaved() (ids []string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for id, e := range d.entries {
		if slices.ContainsFunc(e.grants, func(g *Grant) bool { return g.used.Load() > g.saved.Load() }) {
			ids = append(ids, id)
		}
	}
	return ids
}
