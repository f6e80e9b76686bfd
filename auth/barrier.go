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

// A Barrier says where in the log the events of a gateway begin. What lies at a
// position or before it was published before the gateway was registered, or before
// it joined what the event was for: it is somebody else's. The zero Cursor is no
// barrier. A Barrier is not changed once made.
type Barrier struct {
	Own event.Cursor // for events that name the gateway
	All event.Cursor // for events for all gateways
	// Groups is for events of groups, in the order of Gateway.Groups; nil: All is
	// the barrier of each.
	Groups []event.Cursor
}

// BarrierFor returns the barrier of events with a target that the gateway is in.
func (g *Gateway) BarrierFor(t event.Target) event.Cursor {
	switch {
	case t.All:
		return g.Barrier.All
	case t.Group == "":
		return g.Barrier.Own
	}
	if i, ok := slices.BinarySearch(g.Groups, t.Group); ok && g.Barrier.Groups != nil {
		return g.Barrier.Groups[i]
	}
	return g.Barrier.All
}

// groupBarriers returns the barriers of groups, of which joined has those that are
// not all's; nil when it has none.
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

func (b Barrier) equal(o Barrier) bool {
	return b.Own == o.Own && b.All == o.All && slices.Equal(b.Groups, o.Groups)
}

// A verifiedRecord is what the store keeps of a gateway that only the platform
// knows: where in the log it was first verified, and joined its groups. Without it
// a restart would be its first verification, and cut off what it has missed.
type verifiedRecord struct {
	ID             string `json:"id"`
	OrganizationID string `json:"organizationId,omitempty"` // the last one the platform named
	// MovedAt is when its organization changed: from then on the id is another
	// gateway's.
	MovedAt    event.Cursor `json:"movedAt,omitzero"`
	VerifiedAt event.Cursor `json:"verifiedAt,omitzero"` // for the first time in its organization
	// JoinedAt has every group it is in.
	JoinedAt map[string]event.Cursor `json:"joinedAt,omitempty"`
}

// barrier returns the barrier of a gateway that is in these groups. Events that
// name it are its own from the first one on: the platform may publish them before
// it connects. A nil record is of a gateway of which nothing is known.
func (r *verifiedRecord) barrier(groups []string) Barrier {
	if r == nil {
		return Barrier{}
	}
	return Barrier{Own: r.MovedAt, All: r.VerifiedAt, Groups: groupBarriers(groups, r.VerifiedAt, r.JoinedAt)}
}

// covers reports whether the record says what the platform says now.
func (r *verifiedRecord) covers(v Verified) bool {
	if r == nil || v.OrganizationID != "" && v.OrganizationID != r.OrganizationID || len(r.JoinedAt) != len(v.Groups) {
		return false
	}
	return !slices.ContainsFunc(v.Groups, func(name string) bool { _, in := r.JoinedAt[name]; return !in })
}

// follow returns the record that follows r, which may be nil, when the platform says
// v and the log is at a position.
func (r *verifiedRecord) follow(v Verified, at event.Cursor) *verifiedRecord {
	next := &verifiedRecord{ID: v.GatewayID, OrganizationID: v.OrganizationID, VerifiedAt: at}
	var before map[string]event.Cursor
	switch {
	case r == nil:
	case r.OrganizationID != "" && v.OrganizationID != "" && r.OrganizationID != v.OrganizationID:
		next.MovedAt = at
	default:
		next.MovedAt, next.VerifiedAt, before = r.MovedAt, r.VerifiedAt, r.JoinedAt
		if v.OrganizationID == "" { // it names none today; that moves nobody
			next.OrganizationID = r.OrganizationID
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

// A start is when, and where in the log, a registry was first opened that keeps
// barriers.
type start struct {
	Position event.Cursor `json:"position"`
	At       time.Time    `json:"at"`
}

const (
	startKey = "meta.barriers"
	// verifiedBefore is how long after a start a gateway of which nothing is known
	// counts as verified before it: a version that kept no records may have known it,
	// and it must not miss what is published while nodes are upgraded.
	verifiedBefore = time.Hour
)

// firstVerified returns the barrier of a gateway of which nothing is known, when the
// log is at a position. Where the log was empty at the start, but for what it may put
// there itself, nobody was known before.
func (s *start) firstVerified(at event.Cursor, now time.Time) event.Cursor {
	if s.Position.Seq > 1 && s.Position.Epoch == at.Epoch && now.Sub(s.At).Abs() < verifiedBefore {
		return s.Position
	}
	return at
}

func (s *start) encode() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic("BUG: a start does not marshal: " + err.Error())
	}
	return b
}

// begin returns the registry's start, which is now if there is none.
func (r *Registry) begin(ctx context.Context) (s start, err error) {
	for range maxTries {
		value, _, err := r.store.Get(ctx, startKey)
		if err == nil {
			err = json.Unmarshal(value, &s)
			return s, err
		}
		if !errors.Is(err, ErrNotFound) {
			return s, err
		}
		if s.Position, err = r.at(ctx); err != nil {
			return s, err
		}
		s.At = r.now().UTC()
		if _, err = r.store.Create(ctx, startKey, s.encode()); !errors.Is(err, ErrConflict) {
			return s, err
		}
	}
	return s, fmt.Errorf("%w: %s", ErrConflict, startKey)
}

// beginPatiently is begin, again until patience is over when the store cannot be read.
func (r *Registry) beginPatiently(ctx context.Context, patience time.Duration) (start, error) {
	for began := time.Now(); ; {
		try, cancel := context.WithTimeout(ctx, storeTimeout)
		s, err := r.begin(try)
		cancel()
		if err == nil || time.Since(began) >= patience || !sleep(ctx, watchPause) {
			return s, err
		}
	}
}

// verified returns what the platform last said of the gateway.
func (r *verifiedRecord) verified() Verified {
	return Verified{GatewayID: r.ID, OrganizationID: r.OrganizationID, Groups: slices.Sorted(maps.Keys(r.JoinedAt))}
}
