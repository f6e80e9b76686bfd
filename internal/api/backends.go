// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"

	"github.com/google/uuid"
)

// A Log takes events and orders them. The body is what [event.Event.AppendBody]
// made; it is the log's from then on.
type Log interface {
	// AppendAsync returns before the log has the event. Events of one caller are
	// ordered as it called.
	AppendAsync(ev *event.Event, body []byte) (Pending, error)
}

// A Pending is an append that has begun. Any goroutine may use it.
type Pending interface {
	// Wait returns when the log has the event, and the same whenever it is called.
	Wait(ctx context.Context) (event.Cursor, error)
	// Duplicate reports, after Wait, whether the log has taken an event with the
	// same idempotency key before. Wait's place is that event's then, and this
	// one is not in the log.
	Duplicate() bool
}

// Types says what payloads events of a type may have.
type Types interface {
	// Check returns what is wrong with a payload, or with the type; nil for nothing.
	Check(eventType string, payload []byte) *event.FieldError
}

// A Registry knows the gateways and their tokens, as [auth.Registry] does.
type Registry interface {
	Add(ctx context.Context, g auth.NewGateway) (auth.Gateway, auth.Token, string, error)
	Get(id string) (auth.Gateway, bool)
	List(after string, limit int) (page []auth.Gateway, next string)
	Remove(ctx context.Context, id string) error
	AddToken(ctx context.Context, gatewayID string, expiresAt time.Time) (auth.Token, string, error)
	Tokens(gatewayID string) ([]auth.Token, error)
	RevokeToken(ctx context.Context, gatewayID, tokenID string) error
	Reach(t event.Target) (targets, connected int, unknown string)
	// CatchUp returns when the registry knows every change that was made on any node
	// before the call, else why it cannot tell.
	CatchUp(ctx context.Context) error
	Disconnected(t event.Target, limit int) (ids []string, total int)
}

// Connections knows the live connections.
type Connections interface {
	// Page returns up to limit connections, of one gateway unless gatewayID is
	// empty. Cursors are opaque: after is empty for the first page, and next is
	// empty when there is no other. A cursor that Page did not make gives an
	// error that wraps [ErrCursor].
	Page(ctx context.Context, gatewayID, after string, limit int) (page []stats.Connection, next string, err error)
	// CloseConnection closes one; found is false when there is none.
	CloseConnection(ctx context.Context, id uuid.UUID) (found bool, err error)
}

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
