// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// MaxListed is how many gateways an [Outcome] or a [Missed] names at most.
const MaxListed = 1000

// Events are the retained events, and what became of them. Its errors wrap
// [ErrNotRetained] for an event that is not there; any other says that the log is
// out of reach.
type Events interface {
	Event(ctx context.Context, id event.Cursor) (Published, error)
	// List returns the events that a query asks for, the oldest first, the place to
	// go on behind, and whether there may be more there. It may return fewer than
	// the limit, or none, when there are: where they are long, or rare so that looking
	// for them takes long.
	List(ctx context.Context, q ListQuery) (list []Published, next event.Cursor, more bool, err error)
	DeliveryStatus(ctx context.Context, id event.Cursor) (DeliveryStatus, error)
	// Contains reports whether the log's history contains what an event's id stands for.
	// The event may have left the log since.
	Contains(ctx context.Context, id event.Cursor) (bool, error)
}

// A Published event is one that the log has. The body is what
// [event.Event.AppendBody] made.
type Published struct {
	Cursor  event.Cursor
	Target  event.Target
	Key     string
	Body    []byte
	Receipt string // [event.Event.Receipt]; set by Event only
}

// A ListQuery asks for retained events.
type ListQuery struct {
	GatewayID string       // those for this gateway, by itself, a group or all; empty: for any
	Type      string       // of this type; empty: of any
	After     event.Cursor // behind this one; zero: from the oldest
	Limit     int
	Bytes     int // of their JSON, but for the last one's
}

// An Outcome is what became of an event at the gateways it was for.
type DeliveryStatus struct {
	Targets   int // gateways
	Delivered int // of them, those that a connection of was written to
	Acked     int // of those, the ones that answered that they have applied it
	Failed    int // of those, the ones of which a replica answered that it could not
	Pending   int // not written to yet

	FailedGateways  []string // up to MaxListed
	PendingGateways []string // up to MaxListed

	// NotAnswered are nodes that were asked in vain, so that what only they know
	// is not counted.
	NotAnswered []string
}

// Missed is an event that some of its gateways had no connection for when the
// log took it.
type Missed struct {
	ID            event.Cursor
	Type          string
	CorrelationID string
	At            time.Time
	Gateways      []string // up to MaxListed
	Total         int
}

// Failures are the failed deliveries.
type Failures interface {
	// List returns what a query asks for as it is answered, the oldest first, and
	// where to go on if there are more. Its error wraps [ErrCursor] for a cursor it
	// did not make; any other says that the log is out of reach.
	List(ctx context.Context, q FailureQuery) (list []json.RawMessage, next string, err error)
}

// A FailureQuery asks for failed deliveries.
type FailureQuery struct {
	GatewayID string    // empty: of all
	From      time.Time // zero: from the oldest
	To        time.Time // before this; zero: to the newest
	After     string    // a next that List returned; empty: the first page
	Limit     int
}

// Messages are what gateways have sent.
type Messages interface {
	// List returns the messages behind a place as they are answered, the oldest
	// first, and the place to go on behind, also when there are none. While there
	// are none it waits, if it is asked to. It returns fewer than the limit when
	// there are no more for now, or when they are long. Its error wraps
	// [ErrCursor] for a place it did not name, and ctx's when that ends while it
	// waits; any other says that the log is out of reach.
	List(ctx context.Context, q MessageQuery) (list []json.RawMessage, cursor string, err error)
}

// A MessageQuery asks for messages of gateways.
type MessageQuery struct {
	After string // a cursor that List returned; empty: from the oldest
	Limit int
	Wait  time.Duration // 0: not at all
}
