// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/subtle"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/activity"
	"github.com/gatecast/gatecast/internal/event"

	"github.com/tidwall/btree"
)

// An entry is a gateway with its grants. It is immutable once it is in the directory:
// a change replaces the entry.
type entry struct {
	gateway  *Gateway
	presence *presence // shared by all entries of one gateway
	grants   []*Grant  // in the order of the record's tokens
	revision uint64    // of the record
	edits    uint64    // of the record
	since    time.Time // of the record; zero: the gateway's CreatedAt
	external bool      // verified by the platform; there is no record
}

// registration returns the time that tells registrations of one id apart.
func (e *entry) registration() time.Time {
	if e.since.IsZero() {
		return e.gateway.CreatedAt
	}
	return e.since
}

// A directory is the registry in memory. The registry's goroutine writes it, and any
// goroutine reads it. The registry's goroutine reads entries without the lock, because
// nobody else writes them.
type directory struct {
	external bool // Options.External; constant

	mu      sync.RWMutex
	entries map[string]*entry // by gateway id
	grants  map[digest]*Grant
	// contested has the grants of digests that several gateways have. The registry makes
	// no such digest; a store that was restored can have one. None of them is in grants.
	contested map[digest][]*Grant
	all       members
	groups    map[string]members
	// organizations has the gateways by organization.
	organizations map[string]members
	// registered has the registered gateways in the order of their ids, for page. A
	// tree that holds the gateways makes a page faster than a list of ids would.
	registered btree.Map[string, *Gateway]
	// remoteNodes counts the other nodes with a connection of a gateway. It also has
	// gateways that this node does not know yet. presence.remote is the same count.
	remoteNodes map[string]int32
}

// A presence counts the connections of a gateway. Any goroutine can read it.
type presence struct {
	local     atomic.Int32 // connections to this node; written by the gateway's shard
	remote    atomic.Int32 // other nodes with a connection; written by addRemote
	quotaUsed atomic.Int32 // see Grant.QuotaUsed
	requests  activity.Requests
}

func (p *presence) connected() bool { return p.local.Load() > 0 || p.remote.Load() > 0 }

// members is a set of gateways. Its keys are presences and not entries: counting the
// connected ones costs one cache miss per gateway this way.
type members map[*presence]*Gateway

// connected returns the number of members with a connection to any node.
func (m members) connected() (n int) {
	for p := range m {
		if p.connected() {
			n++
		}
	}
	return n
}

// newDirectory returns an empty directory. external is Options.External.
func newDirectory(external bool) *directory {
	return &directory{
		external:      external,
		entries:       make(map[string]*entry),
		grants:        make(map[digest]*Grant),
		contested:     make(map[digest][]*Grant),
		all:           make(members),
		groups:        make(map[string]members),
		organizations: make(map[string]members),
		remoteNodes:   make(map[string]int32),
	}
}

// replace replaces old by e; either can be nil. When both have the same gateway, only
// their grants differ. It returns the grants of e whose token another gateway has too.
func (d *directory) replace(old, e *entry) (contested []*Grant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old != nil {
		for _, g := range old.grants {
			d.dropGrant(g)
		}
	}
	if old != nil && (e == nil || e.gateway != old.gateway) {
		d.unlist(old)
	}
	if e == nil {
		return nil
	}
	for _, g := range e.grants {
		if !d.addGrant(g) {
			contested = append(contested, g)
		}
	}
	if old == nil || e.gateway != old.gateway {
		d.list(e)
	}
	d.entries[e.gateway.ID] = e
	return contested
}

// addGrant makes a grant known by its digest. It reports false if another gateway has the
// digest too: then the digest authenticates neither. d.mu is held.
func (d *directory) addGrant(g *Grant) bool {
	if of := d.contested[g.digest]; of != nil {
		d.contested[g.digest] = append(of, g)
		return false
	}
	if other := d.grants[g.digest]; other != nil && other.Gateway.ID != g.Gateway.ID {
		d.contested[g.digest] = []*Grant{other, g}
		delete(d.grants, g.digest)
		return false
	}
	d.grants[g.digest] = g
	return true
}

// dropGrant undoes addGrant. d.mu is held.
func (d *directory) dropGrant(g *Grant) {
	if d.grants[g.digest] == g {
		delete(d.grants, g.digest)
	}
	of := d.contested[g.digest]
	i := slices.Index(of, g)
	if i < 0 {
		return
	}
	of = slices.Delete(of, i, i+1)
	if len(of) == 1 {
		d.grants[g.digest] = of[0]
		delete(d.contested, g.digest)
		return
	}
	d.contested[g.digest] = of
}

// otherHolder returns the id of another gateway that has a token with a digest, or "".
func (d *directory) otherHolder(dg digest, gatewayID string) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if g := d.grants[dg]; g != nil && g.Gateway.ID != gatewayID {
		return g.Gateway.ID
	}
	for _, g := range d.contested[dg] {
		if g.Gateway.ID != gatewayID {
			return g.Gateway.ID
		}
	}
	return ""
}

// list adds an entry to the indexes by id, group, organization and presence. d.mu is held.
func (d *directory) list(e *entry) {
	if !e.external {
		d.registered.Set(e.gateway.ID, e.gateway)
	}
	e.presence.remote.Store(d.remoteNodes[e.gateway.ID])
	d.all[e.presence] = e.gateway
	for _, name := range e.gateway.Groups {
		addMember(d.groups, name, e)
	}
	if id := e.gateway.OrganizationID; id != "" {
		addMember(d.organizations, id, e)
	}
}

// addMember adds an entry to the set with a name.
func addMember(sets map[string]members, name string, e *entry) {
	if sets[name] == nil {
		sets[name] = make(members)
	}
	sets[name][e.presence] = e.gateway
}

// unlist undoes list, and removes the entry. d.mu is held.
func (d *directory) unlist(e *entry) {
	delete(d.entries, e.gateway.ID)
	if !e.external {
		d.registered.Delete(e.gateway.ID)
	}
	delete(d.all, e.presence)
	for _, name := range e.gateway.Groups {
		dropMember(d.groups, name, e)
	}
	dropMember(d.organizations, e.gateway.OrganizationID, e)
}

// dropMember removes an entry from the set with a name, and the set after its last one.
func dropMember(sets map[string]members, name string, e *entry) {
	delete(sets[name], e.presence)
	if len(sets[name]) == 0 {
		delete(sets, name)
	}
}

// set returns the gateways of a target that does not name them; nil for one that does.
// d.mu is held.
func (d *directory) set(t event.Target) members {
	switch {
	case t.All:
		return d.all
	case t.Group != "":
		return d.groups[t.Group]
	default:
		return d.organizations[t.OrganizationID] // there is none without an id
	}
}

// addRemote adds n to the number of other nodes with a connection of each gateway. It
// returns the ids that this node does not know.
func (d *directory) addRemote(ids []string, n int32) (unknown []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		count := max(0, d.remoteNodes[id]+n)
		if count == 0 {
			delete(d.remoteNodes, id)
		} else {
			d.remoteNodes[id] = count
		}
		if e := d.entries[id]; e != nil {
			e.presence.remote.Store(count)
		} else {
			unknown = append(unknown, id)
		}
	}
	return unknown
}

// grant returns the grant of a secret's digest, or nil. Digests can be looked up in a map:
// an attacker cannot choose a digest, so the time of the lookup says nothing about others.
func (d *directory) grant(want digest) *Grant {
	d.mu.RLock()
	g := d.grants[want]
	d.mu.RUnlock()
	// A map lookup does not take constant time, so the result is compared again.
	if g == nil || subtle.ConstantTimeCompare(g.digest[:], want[:]) != 1 {
		return nil
	}
	return g
}

// entry returns the entry of a gateway, registered or external, or nil. The entry is
// immutable, so the caller can use it without the lock.
func (d *directory) entry(id string) *entry {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.entries[id]
}

// len returns the number of gateways, registered and external.
func (d *directory) len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.entries)
}

// page returns up to limit registered gateways with an id greater than after. next is
// the id of the last one, or empty when there are no more.
func (d *directory) page(after string, limit int) (page []Gateway, next string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	page = make([]Gateway, 0, min(limit, d.registered.Len()))
	d.registered.Ascend(after, func(id string, g *Gateway) bool {
		if id == after {
			return true
		}
		if len(page) == limit {
			next = page[limit-1].ID
			return false
		}
		page = append(page, *g)
		return true
	})
	return page, next
}

// reach counts the gateways of a target, and the connected ones among them. unknown is
// the first id that is no gateway.
func (d *directory) reach(t event.Target) (targets, connected int, unknown string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if len(t.GatewayIDs) == 0 {
		set := d.set(t)
		return len(set), set.connected(), ""
	}
	for _, id := range t.GatewayIDs {
		e := d.entries[id]
		if e == nil && !d.external {
			return 0, 0, id
		}
		if e != nil && e.presence.connected() || e == nil && d.remoteNodes[id] > 0 {
			connected++
		}
	}
	return len(t.GatewayIDs), connected, ""
}

// disconnected returns up to limit gateways of a target without a connection, and the
// number of all such gateways.
func (d *directory) disconnected(t event.Target, limit int) (ids []string, total int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for g, p := range d.eachTarget(t) {
		if p.connected() {
			continue
		}
		if total++; len(ids) < limit {
			ids = append(ids, g.ID)
		}
	}
	return ids, total
}

// eachTarget returns the gateways of a target that this node knows and, with external
// gateways, also the ids it does not know. d.mu is held.
func (d *directory) eachTarget(t event.Target) iter.Seq2[*Gateway, *presence] {
	return func(yield func(*Gateway, *presence) bool) {
		for p, g := range d.set(t) {
			if !yield(g, p) {
				return
			}
		}
		for _, id := range t.GatewayIDs {
			e := d.entries[id]
			if e == nil && d.external {
				e = &entry{gateway: &Gateway{ID: id}, presence: new(presence)}
				e.presence.remote.Store(d.remoteNodes[id])
			}
			if e != nil && !yield(e.gateway, e.presence) {
				return
			}
		}
	}
}

// unsaved returns the ids of gateways with a token whose last use is not in the store.
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
