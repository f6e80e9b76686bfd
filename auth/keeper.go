// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

const (
	// maxWait bounds how long the keeper sleeps. The next expiry may be nearer
	// than its timer thinks when somebody has set the clock.
	maxWait = time.Minute
	// minWait keeps a clock that stands still from making the keeper spin.
	minWait = time.Millisecond
	// removalMemory is how long the keeper knows a removal, and so how late an
	// older change may arrive and still be told from a gateway added anew.
	removalMemory = 10 * time.Minute
)

// A keeper carries changes of the store into the directory and ends grants whose
// time is over. It has no I/O and no clock. Only the registry's goroutine
// touches it.
//
// A change can arrive twice and late: this node's own writes are put in at once,
// and come again from the watch, maybe after older ones. So each counts only if
// its revision is newer than what is there.
type keeper struct {
	// Constant after Open.
	dir      *directory // written here, read by anyone
	log      *slog.Logger
	onRevoke func(Revocation)

	expiries expiryHeap
	// certified is the grants of client certificates, which no token has. They are
	// known here alone.
	certified map[certificate]*Grant
	// verified is the grants of tokens that the platform verified, by gateway and by
	// token; seen is when it last vouched for a gateway.
	verified map[string]map[digest]*Grant
	seen     map[string]time.Time
	records  map[string]storedVerified // of gateways that the platform has vouched for
	round    uint64                    // counts how often verified tokens were taken back

	orgs    map[string]*atomic.Int32 // places of organizations; few, so none is forgotten
	removed map[string]removal       // gateways that were removed lately
	swept   time.Time                // when removed was last looked through
	loaded  bool                     // the first watch has told all that was there
	early   []usageChange            // told before that
	untold  map[string]struct{}      // gateways that a new watch has not told yet; nil when it has told all

	// restoring says that the store lost what it had, and has not been given back yet
	// what this node knows. Stale is what it has that is older than that, by id, at its
	// revision.
	restoring bool
	stale     map[string]uint64
}

// A removal is how new a change must be to stand after a gateway was removed.
type removal struct {
	revision  uint64
	at        time.Time
	createdAt time.Time // of the gateway, as far as it was known
}

// A usageChange is a stored [usage] at its revision.
type usageChange struct {
	id       string
	usage    usage
	revision uint64
}

func newKeeper(dir *directory, o Options) *keeper {
	return &keeper{
		dir: dir, log: o.Logger, onRevoke: o.OnRevoke,
		removed: make(map[string]removal), orgs: make(map[string]*atomic.Int32), certified: make(map[certificate]*Grant),
		verified: make(map[string]map[digest]*Grant), seen: make(map[string]time.Time),
		records: make(map[string]storedVerified),
	}
}

// put carries in a record at its revision.
func (k *keeper) put(rec *record, revision uint64, now time.Time) {
	old := k.dir.entries[rec.ID] // no lock: nobody else writes it
	if old != nil && !old.vouched && old.revision >= revision || k.removed[rec.ID].revision >= revision {
		return
	}
	if k.restoring && k.outdated(rec, old) {
		k.stale[rec.ID] = revision
		return
	}
	delete(k.stale, rec.ID)
	e := makeEntry(rec, revision, old)
	for _, t := range rec.Tokens {
		e.grants = append(e.grants, k.grant(old, e, t, now))
	}
	// What ends does so before the new grants can be found: whoever connects with one
	// of those comes to the shard after the last connection of the gateway that was.
	if old != nil {
		k.endMissing(old, e, now)
		if old.gateway != e.gateway {
			k.endCertified(old.gateway)
			k.endAllVerified(rec.ID, event.GatewayChanged)
		}
	}
	k.dir.replace(old, e)
}

// makeEntry returns an entry without grants. A record that differs in more than
// its tokens is another gateway: it was removed and added again.
func makeEntry(rec *record, revision uint64, old *entry) *entry {
	g := rec.gateway()
	if old != nil && sameGateway(old.gateway, &g) {
		return &entry{gateway: old.gateway, presence: old.presence, revision: revision, edits: rec.Edits}
	}
	return &entry{gateway: &g, presence: new(presence), revision: revision, edits: rec.Edits}
}

// org returns the count of places of an organization, nil for none.
func (k *keeper) org(id string) *atomic.Int32 {
	if id == "" {
		return nil
	}
	if k.orgs[id] == nil {
		k.orgs[id] = new(atomic.Int32)
	}
	return k.orgs[id]
}

func sameGateway(a, b *Gateway) bool {
	return a.ID == b.ID && a.Name == b.Name && a.OrganizationID == b.OrganizationID &&
		a.CreatedAt.Equal(b.CreatedAt) && slices.Equal(a.Groups, b.Groups) && a.Barrier.equal(b.Barrier)
}

// grant returns the grant of a token: the one it has, or a new one.
func (k *keeper) grant(old, e *entry, t tokenRecord, now time.Time) *Grant {
	if old != nil && old.gateway == e.gateway {
		for _, g := range old.grants {
			if g.TokenID == t.ID && g.digest == t.SHA256 && g.expiresAt.Equal(t.ExpiresAt) {
				return g
			}
		}
	}
	g := k.newGrant(e, t)
	if g.expired(now) {
		g.revoke(event.TokenExpired) // nobody had it, so nobody is told
	} else {
		k.expiries.add(g)
	}
	return g
}

func (k *keeper) newGrant(e *entry, t tokenRecord) *Grant {
	return &Grant{
		Gateway: e.gateway, TokenID: t.ID, Live: &e.presence.here,
		QuotaUsed: &e.presence.places, OrgQuotaUsed: k.org(e.gateway.OrganizationID),
		Requests: &e.presence.requests,
		digest:   t.SHA256, createdAt: t.CreatedAt, expiresAt: t.ExpiresAt, place: -1,
	}
}

// endMissing ends the grants of old that are not in e.
func (k *keeper) endMissing(old, e *entry, now time.Time) {
	for _, g := range old.grants {
		switch {
		case slices.Contains(e.grants, g):
		case e.gateway != old.gateway:
			k.end(g, event.GatewayRemoved)
		case g.expired(now):
			k.end(g, event.TokenExpired)
		default:
			k.end(g, event.TokenRevoked)
		}
	}
}

// end ends a grant, if it still stands.
func (k *keeper) end(g *Grant, reason event.CloseReason) {
	k.expiries.drop(g)
	if g.revoke(reason) {
		k.log.Info("token ended", "gateway", g.Gateway.ID, "token", g.TokenID, "reason", reason)
		k.onRevoke(Revocation{GatewayID: g.Gateway.ID, TokenID: g.TokenID, Reason: reason})
	}
}

// remove carries in that a gateway is gone: every change up to the revision is
// of the past.
func (k *keeper) remove(id string, revision uint64, now time.Time) {
	old := k.dir.entries[id]
	if old != nil && old.revision > revision {
		return
	}
	r := removal{max(revision, k.removed[id].revision), now, k.removed[id].createdAt}
	if old != nil && !old.vouched {
		r.createdAt = old.gateway.CreatedAt
	}
	k.removed[id] = r
	if old == nil || old.vouched {
		return
	}
	k.dir.replace(old, nil)
	for _, g := range old.grants {
		k.end(g, event.GatewayRemoved)
	}
	k.endCertified(old.gateway)
	k.endAllVerified(id, event.GatewayRemoved)
}

// use carries in when a gateway's tokens were last used.
func (k *keeper) use(c usageChange) {
	if !k.loaded { // the gateway may be told later
		k.early = append(k.early, c)
		return
	}
	e := k.dir.entries[c.id]
	if e == nil {
		return
	}
	for _, g := range e.grants {
		if at, ok := c.usage[g.TokenID]; ok {
			g.learn(at.UnixNano())
		}
	}
}

// beginWatch says that all gateways will be told from now on, and then that it
// was all.
func (k *keeper) beginWatch() {
	if !k.loaded {
		return
	}
	k.untold = make(map[string]struct{}, len(k.dir.entries))
	for id, e := range k.dir.entries {
		if !e.vouched {
			k.untold[id] = struct{}{}
		}
	}
}

// told says that the watch has named a gateway.
func (k *keeper) told(id string) { delete(k.untold, id) }

// endWatch says that all gateways were told. What was not told was removed while
// nobody watched. It returns the usages of gateways that there are not.
func (k *keeper) endWatch(now time.Time) (orphans []usageChange) {
	if !k.restoring { // else restore gives them back
		for id := range k.untold {
			if e := k.dir.entries[id]; e != nil {
				k.remove(id, e.revision, now)
			}
		}
		k.untold = nil
	}
	k.loaded = true
	for _, c := range k.early {
		if k.dir.entries[c.id] == nil {
			orphans = append(orphans, c)
		}
		k.use(c)
	}
	k.early = nil
	return orphans
}

// tick ends what has expired, and returns when to tick again at the latest.
func (k *keeper) tick(now time.Time) time.Duration {
	for len(k.expiries) > 0 && k.expiries[0].expired(now) {
		k.end(k.expiries[0], event.TokenExpired)
	}
	if now.Sub(k.swept).Abs() >= maxWait {
		k.sweep(now)
	}
	if len(k.expiries) == 0 {
		return maxWait
	}
	return min(max(k.expiries[0].expiresAt.Sub(now), minWait), maxWait)
}

// sweep lets go of removals that are long past.
func (k *keeper) sweep(now time.Time) {
	k.swept = now
	k.forgetCertified()
	k.sweepVerified(now)
	for id, r := range k.removed {
		if now.Sub(r.at).Abs() > removalMemory {
			delete(k.removed, id)
		}
	}
}
