// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A Barrier is the position in the log after which events are for a gateway. Events up to
// it were published before the gateway was registered, or before it joined the group or the
// organization. The zero Cursor is no barrier. A Barrier is immutable.
type Barrier struct {
	Own event.Cursor // for events that name the gateway
	All event.Cursor // for events for all gateways
	// Organization is for events of its organization. Zero: All is.
	Organization event.Cursor
	// Groups is for events of groups, in the order of Gateway.Groups. Nil: All is the
	// barrier of each group.
	Groups []event.Cursor
}

// BarrierFor returns the barrier of events with a target that includes the gateway.
func (g *Gateway) BarrierFor(t event.Target) event.Cursor {
	switch {
	case t.All:
		return g.Barrier.All
	case t.OrganizationID != "" && !g.Barrier.Organization.IsZero():
		return g.Barrier.Organization
	case t.OrganizationID != "":
		return g.Barrier.All
	case t.Group == "":
		return g.Barrier.Own
	}
	if i, ok := slices.BinarySearch(g.Groups, t.Group); ok && g.Barrier.Groups != nil {
		return g.Barrier.Groups[i]
	}
	return g.Barrier.All
}

// groupBarriers returns the barriers of groups. joined has those that differ from all. The
// result is nil when none differs, as for most gateways, to save memory.
func groupBarriers(groups []string, all event.Cursor, joined map[string]event.Cursor) (list []event.Cursor) {
	for i, name := range groups {
		at, ok := joined[name]
		if !ok || at == all {
			continue
		}
		if list == nil {
			list = slices.Repeat([]event.Cursor{all}, len(groups))
		}
		list[i] = at
	}
	return list
}

// equal reports whether two barriers are the same.
func (b Barrier) equal(o Barrier) bool {
	return b.Own == o.Own && b.All == o.All && b.Organization == o.Organization && slices.Equal(b.Groups, o.Groups)
}

// A verifiedRecord is the record of an external gateway in the store: the log's positions
// of its first verification and of joining its groups. Without it, a restart would count
// as the first verification, and the gateway would not get the events it missed.
type verifiedRecord struct {
	ID             string `json:"id"`
	OrganizationID string `json:"organizationId,omitempty"` // the last one the platform named
	// MovedAt is the log's position when its organization changed. From then on the id is
	// of another gateway.
	MovedAt    event.Cursor `json:"movedAt,omitzero"`
	VerifiedAt event.Cursor `json:"verifiedAt,omitzero"` // first time in its organization
	// JoinedAt has an entry for every group of the gateway.
	JoinedAt map[string]event.Cursor `json:"joinedAt,omitempty"`
	// OrganizationSince is the log's position at which it joined its organization; zero:
	// VerifiedAt.
	OrganizationSince event.Cursor `json:"organizationSince,omitzero"`
	// NoOrganization reports whether the last answer named none. OrganizationID is that of
	// an earlier answer then, and its events are not for the gateway.
	NoOrganization bool `json:"noOrganization,omitempty"`
}

// barrier returns the barrier of a gateway with these groups. It gets events that name it
// from the first one on: the platform can publish them before the gateway connects. A nil
// record has no barrier.
func (r *verifiedRecord) barrier(groups []string) Barrier {
	if r == nil {
		return Barrier{}
	}
	return Barrier{
		Own: r.MovedAt, All: r.VerifiedAt, Organization: r.OrganizationSince,
		Groups: groupBarriers(groups, r.VerifiedAt, r.JoinedAt),
	}
}

// organization returns the organization that the gateway is in; empty: none.
func (r *verifiedRecord) organization() string {
	if r.NoOrganization {
		return ""
	}
	return r.OrganizationID
}

// covers reports whether the record agrees with what the platform says now.
func (r *verifiedRecord) covers(v Verified) bool {
	if r == nil || v.OrganizationID != r.organization() || len(r.JoinedAt) != len(v.Groups) {
		return false
	}
	return !slices.ContainsFunc(v.Groups, func(name string) bool { _, in := r.JoinedAt[name]; return !in })
}

// next returns the record that replaces r when the platform says v at a position of the
// log. r can be nil.
func (r *verifiedRecord) next(v Verified, at event.Cursor) *verifiedRecord {
	next := &verifiedRecord{ID: v.GatewayID, OrganizationID: v.OrganizationID, VerifiedAt: at}
	var before map[string]event.Cursor
	switch {
	case r == nil:
	case r.OrganizationID != "" && v.OrganizationID != "" && r.OrganizationID != v.OrganizationID:
		next.MovedAt = at
	default:
		next.MovedAt, next.VerifiedAt, before = r.MovedAt, r.VerifiedAt, r.JoinedAt
		switch v.OrganizationID {
		case "": // an answer without one does not move the gateway
			next.OrganizationID, next.NoOrganization = r.OrganizationID, r.OrganizationID != ""
		case r.organization():
			next.OrganizationSince = r.OrganizationSince
		default:
			next.OrganizationSince = at
		}
	}
	next.JoinedAt = make(map[string]event.Cursor, len(v.Groups))
	for _, name := range v.Groups {
		next.JoinedAt[name] = at
		if joined, ok := before[name]; ok {
			next.JoinedAt[name] = joined
		}
	}
	return next
}

// A firstOpen is the time and the log's position at which a version with barriers first
// opened the registry.
type firstOpen struct {
	Position event.Cursor `json:"position"`
	At       time.Time    `json:"at"`
}

const (
	firstOpenKey = "meta.barriers"
	// upgradeGrace is how long after the first open a gateway without a record counts as
	// verified before it. A version without records can have known it, and it must not
	// miss events that are published during the upgrade.
	upgradeGrace = time.Hour
)

// initialBarrier returns the barrier of a gateway without a record, when the log is at a
// position. If the log was empty at the first open, except for its own marker, no gateway
// was known before.
func (s *firstOpen) initialBarrier(at event.Cursor, now time.Time) event.Cursor {
	if s.Position.Seq > 1 && s.Position.Epoch == at.Epoch && now.Sub(s.At).Abs() < upgradeGrace {
		return s.Position
	}
	return at
}

// encode returns the JSON that the store has.
func (s *firstOpen) encode() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic("BUG: cannot marshal a firstOpen: " + err.Error())
	}
	return b
}

// readFirstOpen returns the first open, which is now if none is stored. Of several nodes
// that start at once, the one whose Create succeeds decides.
func (r *Registry) readFirstOpen(ctx context.Context) (s firstOpen, err error) {
	for range maxTries {
		value, _, err := r.store.Get(ctx, firstOpenKey)
		if err == nil {
			err = json.Unmarshal(value, &s)
			return s, err
		}
		if !errors.Is(err, ErrNotFound) {
			return s, err
		}
		if s.Position, err = r.position(ctx); err != nil {
			return s, err
		}
		s.At = r.now().UTC()
		if _, err = r.store.Create(ctx, firstOpenKey, s.encode()); !errors.Is(err, ErrConflict) {
			return s, err
		}
	}
	return s, fmt.Errorf("%w: %s", ErrConflict, firstOpenKey)
}

// retryFirstOpen calls readFirstOpen, and retries for retryFor when the store fails.
func (r *Registry) retryFirstOpen(ctx context.Context, retryFor time.Duration) (firstOpen, error) {
	for began := time.Now(); ; {
		try, cancel := context.WithTimeout(ctx, storeTimeout)
		s, err := r.readFirstOpen(try)
		cancel()
		if err == nil || time.Since(began) >= retryFor || !sleep(ctx, watchRetryDelay) {
			return s, err
		}
	}
}

// verified returns what the platform last said about the gateway.
func (r *verifiedRecord) verified() Verified {
	return Verified{GatewayID: r.ID, OrganizationID: r.organization(), Groups: slices.Sorted(maps.Keys(r.JoinedAt))}
}
