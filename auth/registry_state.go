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
	// maxWait bounds how long the state sleeps. The next expiry may be nearer
	// than its timer thinks when somebody has set the clock.
	maxWait = time.Minute
	// minWait keeps a clock that stands still from making the state spin.
	minWait = time.Millisecond
	// removalTTL is how long the state knows a removal, and so how late an
	// older change may arrive and still be told from a gateway added anew.
	removalTTL = 10 * time.Minute
)

// A state carries changes of the store into the directory and ends grants whose
// time is over. It has no I/O and no clock. Only the registry's goroutine
// touches it.
//
// A change can arrive twice and late: this node's own writes are put in at once,
// and come again from the watch, maybe after older ones. So each counts only if
// its revision is newer than what is there.
type registryState struct {
	// Constant after Open.
	dir      *directory // written here, read by anyone
	log      *slog.Logger
	onRevoke func(Revocation)

	expiries expiryHeap
	// certGrants is the grants of client certificates, which no token has. They are
	// known here alone.
	certGrants map[certificate]*Grant
	// verified is the grants of tokens that the platform verified, by gateway and by
	// token; seen is when it last external for a gateway.
	verifiedGrants  map[string]map[digest]*Grant
	lastVerified    map[string]time.Time
	verifiedRecords map[string]storedVerified // of gateways that the platform has external for
	revocations     uint64                    // counts how often verified tokens were taken back

	orgQuotas   map[string]*atomic.Int32 // places of organizations; few, so none is forgotten
	removed     map[string]removal       // gateways that were removed lately
	lastSweep   time.Time                // when removed was last looked through
	loaded      bool                     // the first watch has told all that was there
	earlyUsages []storedUsage            // told before that
	unreported  map[string]struct{}      // gateways that a new watch has not told yet; nil when it has told all

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

// A storedUsage is a stored [usage] at its revision.
type storedUsage struct {
	id       string
	usage    usage
	revision uint64
}

func newRegistryState(dir *directory, o Options) *registryState {
	return &registryState{
		dir: dir, log: o.Logger, onRevoke: o.OnRevoke,
		removed: make(map[string]removal), orgQuotas: make(map[string]*atomic.Int32), certGrants: make(map[certificate]*Grant),
		verifiedGrants: make(map[string]map[digest]*Grant), lastVerified: make(map[string]time.Time),
		verifiedRecords: make(map[string]storedVerified),
	}
}

// put carries in a record at its revision.
func (s *registryState) put(rec *record, revision uint64, now time.Time) {
	old := s.dir.entries[rec.ID] // no lock: nobody else writes it
	if old != nil && !old.external && old.revision >= revision || s.removed[rec.ID].revision >= revision {
		return
	}
	if s.restoring && s.outdated(rec, old) {
		s.stale[rec.ID] = revision
		return
	}
	delete(s.stale, rec.ID)
	e := makeEntry(rec, revision, old)
	for _, t := range rec.Tokens {
		e.grants = append(e.grants, s.grant(old, e, t, now))
	}
	// What ends does so before the new grants can be found: whoever connects with one
	// of those comes to the shard after the last connection of the gateway that was.
	if old != nil {
		s.endMissing(old, e, now)
		if old.gateway != e.gateway {
			s.endCertGrants(old.gateway)
			s.endVerifiedGrants(rec.ID, event.GatewayChanged)
		}
	}
	s.dir.replace(old, e)
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
func (s *registryState) orgQuota(id string) *atomic.Int32 {
	if id == "" {
		return nil
	}
	if s.orgQuotas[id] == nil {
		s.orgQuotas[id] = new(atomic.Int32)
	}
	return s.orgQuotas[id]
}

func sameGateway(a, b *Gateway) bool {
	return a.ID == b.ID && a.Name == b.Name && a.OrganizationID == b.OrganizationID &&
		a.CreatedAt.Equal(b.CreatedAt) && slices.Equal(a.Groups, b.Groups) && a.Barrier.equal(b.Barrier)
}

// grant returns the grant of a token: the one it has, or a new one.
func (s *registryState) grant(old, e *entry, t tokenRecord, now time.Time) *Grant {
	if old != nil && old.gateway == e.gateway {
		for _, g := range old.grants {
			if g.TokenID == t.ID && g.digest == t.SHA256 && g.expiresAt.Equal(t.ExpiresAt) {
				return g
			}
		}
	}
	g := s.newGrant(e, t)
	if g.expired(now) {
		g.revoke(event.TokenExpired) // nobody had it, so nobody is told
	} else {
		s.expiries.add(g)
	}
	return g
}

func (s *registryState) newGrant(e *entry, t tokenRecord) *Grant {
	return &Grant{
		Gateway: e.gateway, TokenID: t.ID, Live: &e.presence.local,
		QuotaUsed: &e.presence.quotaUsed, OrgQuotaUsed: s.orgQuota(e.gateway.OrganizationID),
		Requests: &e.presence.requests,
		digest:   t.SHA256, createdAt: t.CreatedAt, expiresAt: t.ExpiresAt, heapIndex: -1,
	}
}

// endMissing ends the grants of old that are not in e.
func (s *registryState) endMissing(old, e *entry, now time.Time) {
	for _, g := range old.grants {
		switch {
		case slices.Contains(e.grants, g):
		case e.gateway != old.gateway:
			s.end(g, event.GatewayRemoved)
		case g.expired(now):
			s.end(g, event.TokenExpired)
		default:
			s.end(g, event.TokenRevoked)
		}
	}
}

// end ends a grant, if it still stands.
func (s *registryState) end(g *Grant, reason event.CloseReason) {
	s.expiries.drop(g)
	if g.revoke(reason) {
		s.log.Info("token ended", "gateway", g.Gateway.ID, "token", g.TokenID, "reason", reason)
		s.onRevoke(Revocation{GatewayID: g.Gateway.ID, TokenID: g.TokenID, Reason: reason})
	}
}

// remove carries in that a gateway is gone: every change up to the revision is
// of the past.
func (s *registryState) remove(id string, revision uint64, now time.Time) {
	old := s.dir.entries[id]
	if old != nil && old.revision > revision {
		return
	}
	r := removal{max(revision, s.removed[id].revision), now, s.removed[id].createdAt}
	if old != nil && !old.external {
		r.createdAt = old.gateway.CreatedAt
	}
	s.removed[id] = r
	if old == nil || old.external {
		return
	}
	s.dir.replace(old, nil)
	for _, g := range old.grants {
		s.end(g, event.GatewayRemoved)
	}
	s.endCertGrants(old.gateway)
	s.endVerifiedGrants(id, event.GatewayRemoved)
}

// use carries in when a gateway's tokens were last used.
func (s *registryState) applyUsage(c storedUsage) {
	if !s.loaded { // the gateway may be told later
		s.earlyUsages = append(s.earlyUsages, c)
		return
	}
	e := s.dir.entries[c.id]
	if e == nil {
		return
	}
	for _, g := range e.grants {
		if at, ok := c.usage[g.TokenID]; ok {
			g.mergeUsed(at.UnixNano())
		}
	}
}

// beginWatch says that all gateways will be told from now on, and then that it
// was all.
func (s *registryState) beginWatch() {
	if !s.loaded {
		return
	}
	s.unreported = make(map[string]struct{}, len(s.dir.entries))
	for id, e := range s.dir.entries {
		if !e.external {
			s.unreported[id] = struct{}{}
		}
	}
}

// told says that the watch has named a gateway.
func (s *registryState) reported(id string) { delete(s.unreported, id) }

// endWatch says that all gateways were told. What was not told was removed while
// nobody watched. It returns the usages of gateways that there are not.
func (s *registryState) endWatch(now time.Time) (orphans []storedUsage) {
	if !s.restoring { // else restore gives them back
		for id := range s.unreported {
			if e := s.dir.entries[id]; e != nil {
				s.remove(id, e.revision, now)
			}
		}
		s.unreported = nil
	}
	s.loaded = true
	for _, c := range s.earlyUsages {
		if s.dir.entries[c.id] == nil {
			orphans = append(orphans, c)
		}
		s.applyUsage(c)
	}
	s.earlyUsages = nil
	return orphans
}

// tick ends what has expired, and returns when to tick again at the latest.
func (s *registryState) tick(now time.Time) time.Duration {
	for len(s.expiries) > 0 && s.expiries[0].expired(now) {
		s.end(s.expiries[0], event.TokenExpired)
	}
	if now.Sub(s.lastSweep).Abs() >= maxWait {
		s.sweep(now)
	}
	if len(s.expiries) == 0 {
		return maxWait
	}
	return min(max(s.expiries[0].expiresAt.Sub(now), minWait), maxWait)
}

// sweep lets go of removals that are long past.
func (s *registryState) sweep(now time.Time) {
	s.lastSweep = now
	s.dropEndedCertGrants()
	s.sweepVerified(now)
	for id, r := range s.removed {
		if now.Sub(r.at).Abs() > removalTTL {
			delete(s.removed, id)
		}
	}
}
