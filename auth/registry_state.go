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
	// maxWait is the longest pause between two ticks. The next expiry can be nearer than
	// the timer says, after somebody has set the clock.
	maxWait = time.Minute
	// minWait keeps the goroutine from spinning on a clock that stands still.
	minWait = time.Millisecond
	// removalTTL is how long a removal is remembered. So an older change of the gateway
	// can arrive that late without adding it again.
	removalTTL = 10 * time.Minute
)

// A registryState applies changes of the store to the directory, and ends grants that
// expire. It has no I/O and no clock. Only the registry's goroutine uses it.
//
// A change can arrive twice and late: this node's own writes are applied at once, and the
// watch reports them again, possibly after older ones. So a change counts only if its
// revision is newer than what is known.
type registryState struct {
	// Constant after Open.
	dir      *directory // written here, read by any goroutine
	log      *slog.Logger
	onRevoke func(Revocation)

	// Registered gateways.
	expiries   expiryHeap
	certGrants map[certificate]*Grant // grants of client certificates; not in the directory
	removed    map[string]removal     // gateways removed in the last removalTTL
	lastSweep  time.Time

	// External gateways: those the platform has verified.
	verifiedGrants  map[string]map[digest]*Grant // by gateway and by token
	lastVerified    map[string]time.Time         // by gateway
	verifiedRecords map[string]storedVerified    // what the store has, by gateway
	revocations     uint64                       // number of RevokeVerified calls

	orgQuotas map[string]*atomic.Int32 // used connection quota by organization; few, so kept for ever

	// The watch.
	loaded      bool                // the first watch has reported everything
	earlyUsages []storedUsage       // reported before loaded
	unreported  map[string]struct{} // known gateways that the current watch has not reported yet; nil when synced

	// restoring is set while this node writes back what the store lost. stale has the
	// records in the store that are older than what this node knows, by id, with their
	// revisions.
	restoring bool
	stale     map[string]uint64
}

// A removal says which changes of a removed gateway are too old to count.
type removal struct {
	revision     uint64
	at           time.Time
	registration time.Time // of the gateway; zero: not known
}

// A storedUsage is a [usage] with its revision in the store.
type storedUsage struct {
	id       string
	usage    usage
	revision uint64
}

// newRegistryState returns the state of a registry that knows no gateway.
func newRegistryState(dir *directory, o Options) *registryState {
	return &registryState{
		dir: dir, log: o.Logger, onRevoke: o.OnRevoke,
		removed: make(map[string]removal), orgQuotas: make(map[string]*atomic.Int32), certGrants: make(map[certificate]*Grant),
		verifiedGrants: make(map[string]map[digest]*Grant), lastVerified: make(map[string]time.Time),
		verifiedRecords: make(map[string]storedVerified),
	}
}

// put applies a record at its revision. It replaces the entry of the gateway, registered
// or external. Grants of tokens that are in both the old and the new record stay the same,
// so their connections are not closed.
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
	change := changeOf(old, e)
	for _, t := range rec.Tokens {
		e.grants = append(e.grants, s.grant(change, old, e, t, now))
	}
	// Grants that end do so before the new ones can be found. So a connection with a new
	// grant reaches the shard after the last connection of the old gateway.
	if old != nil {
		s.endMissing(change, old, e, now)
		switch change {
		case replaced:
			s.endCertGrants(old.presence, event.GatewayRemoved)
			s.endVerifiedGrants(rec.ID, event.GatewayChanged)
		case moved:
			s.endCertGrants(old.presence, event.GatewayChanged)
			s.endVerifiedGrants(rec.ID, event.GatewayChanged)
		}
	}
	s.replace(old, e)
}

// replace replaces an entry in the directory.
func (s *registryState) replace(old, e *entry) {
	for _, g := range s.dir.replace(old, e) {
		s.log.Error("registry: two gateways have the same token; it is refused until one of them gets another",
			"gateway", g.Gateway.ID, "token", g.TokenID)
	}
}

// A gatewayChange says how a record differs from the one before.
type gatewayChange uint8

const (
	replaced  gatewayChange = iota // there was none, or another registration of the id
	moved                          // groups or organization: connections come back in the new ones
	described                      // at most name, date and tokens: connections stay
)

// changeOf returns how an entry made by makeEntry differs from the old one.
func changeOf(old, e *entry) gatewayChange {
	if old == nil || old.presence != e.presence {
		return replaced
	}
	a, b := old.gateway, e.gateway
	if a.OrganizationID != b.OrganizationID || !slices.Equal(a.Groups, b.Groups) || !a.Barrier.equal(b.Barrier) {
		return moved
	}
	return described
}

// makeEntry returns an entry without grants. A record with another time or position of registration is
// of another gateway: the old one was removed and the id added again.
func makeEntry(rec *record, revision uint64, old *entry) *entry {
	g := rec.gateway()
	e := &entry{gateway: &g, presence: new(presence), revision: revision, edits: rec.Edits, since: rec.Since}
	switch {
	case old == nil || old.external || !old.registration().Equal(e.registration()) || old.gateway.Barrier.Own != g.Barrier.Own:
	case sameGateway(old.gateway, &g):
		e.gateway, e.presence = old.gateway, old.presence
	default:
		e.presence = old.presence
	}
	return e
}

// orgQuota returns the used connection quota of an organization, nil without one.
func (s *registryState) orgQuota(id string) *atomic.Int32 {
	if id == "" {
		return nil
	}
	if s.orgQuotas[id] == nil {
		s.orgQuotas[id] = new(atomic.Int32)
	}
	return s.orgQuotas[id]
}

// sameGateway reports whether two values describe one gateway.
func sameGateway(a, b *Gateway) bool {
	return a.ID == b.ID && a.Name == b.Name && a.OrganizationID == b.OrganizationID &&
		a.CreatedAt.Equal(b.CreatedAt) && slices.Equal(a.Groups, b.Groups) && a.Barrier.equal(b.Barrier)
}

// grant returns the grant of a token: the existing one, or a new one.
func (s *registryState) grant(change gatewayChange, old, e *entry, t tokenRecord, now time.Time) *Grant {
	if change == described {
		for _, g := range old.grants {
			if g.TokenID == t.ID && isOf(g, t.SHA256) && g.createdAt.Equal(t.CreatedAt) && g.expiresAt.Equal(t.ExpiresAt) {
				return g
			}
		}
	}
	g := s.newGrant(e, t)
	if change != replaced {
		for _, before := range old.grants {
			if before.TokenID == t.ID && isOf(before, t.SHA256) {
				g.used.Store(before.used.Load())
				g.saved.Store(before.saved.Load())
			}
		}
	}
	if g.expired(now) {
		g.revoke(event.TokenExpired) // no connection has it, so onRevoke is not called
	} else {
		s.expiries.add(g)
	}
	return g
}

// isOf reports whether a grant is of the token with a stored digest.
func isOf(g *Grant, stored digest) bool { return g.digest == stored }

// newGrant returns a grant for a gateway, which is not in the directory yet.
func (s *registryState) newGrant(e *entry, t tokenRecord) *Grant {
	return &Grant{
		Gateway: e.gateway, TokenID: t.ID, Live: &e.presence.local,
		QuotaUsed: &e.presence.quotaUsed, OrgQuotaUsed: s.orgQuota(e.gateway.OrganizationID),
		Requests: &e.presence.requests,
		digest:   t.SHA256, createdAt: t.CreatedAt, expiresAt: t.ExpiresAt, heapIndex: -1,
	}
}

// endMissing ends the grants of old that are not in e. The reason is what a client sees:
// a dropped token that has expired counts as expired, also when another node dropped it. A
// token that the gateway still has was changed, and can be used to connect again.
func (s *registryState) endMissing(change gatewayChange, old, e *entry, now time.Time) {
	for _, g := range old.grants {
		switch {
		case slices.Contains(e.grants, g):
		case change == replaced:
			s.end(g, event.GatewayRemoved)
		case g.expired(now):
			s.end(g, event.TokenExpired)
		case slices.ContainsFunc(e.grants, func(n *Grant) bool { return isOf(n, g.digest) && !n.expired(now) }):
			s.end(g, event.GatewayChanged)
		default:
			s.end(g, event.TokenRevoked)
		}
	}
}

// end ends a grant that is still valid.
func (s *registryState) end(g *Grant, reason event.CloseReason) {
	s.expiries.drop(g)
	if g.revoke(reason) {
		s.log.Info("token ended", "gateway", g.Gateway.ID, "token", g.TokenID, "reason", reason)
		s.onRevoke(Revocation{GatewayID: g.Gateway.ID, TokenID: g.TokenID, Reason: reason})
	}
}

// remove applies the removal of a gateway, which ends its grants of every kind. Later
// changes up to the revision do not count.
func (s *registryState) remove(id string, revision uint64, now time.Time) {
	old := s.dir.entries[id]
	if old != nil && old.revision > revision {
		return
	}
	r := removal{max(revision, s.removed[id].revision), now, s.removed[id].registration}
	if old != nil && !old.external {
		r.registration = old.registration()
	}
	s.removed[id] = r
	if old == nil || old.external {
		return
	}
	s.dir.replace(old, nil)
	for _, g := range old.grants {
		s.end(g, event.GatewayRemoved)
	}
	s.endCertGrants(old.presence, event.GatewayRemoved)
	s.endVerifiedGrants(id, event.GatewayRemoved)
}

// applyUsage applies the last uses of a gateway's tokens.
func (s *registryState) applyUsage(c storedUsage) {
	if !s.loaded { // the gateway can still be reported
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

// beginWatch prepares for a watch, which reports all gateways and then calls endWatch.
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

// reported records that the watch has reported a gateway.
func (s *registryState) reported(id string) { delete(s.unreported, id) }

// endWatch is called when the watch has reported everything. Gateways it did not report
// were removed while no watch ran. endWatch returns the usages of gateways that do not
// exist.
func (s *registryState) endWatch(now time.Time) (orphans []storedUsage) {
	if !s.restoring { // else restore writes them back
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

// tick ends expired grants, and returns the time until the next tick. The time is at most
// maxWait, because expiries are of the wall clock, which somebody can set.
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

// sweep drops what is old enough to forget.
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
