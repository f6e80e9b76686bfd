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

// A Log stores events and puts them in order. Any goroutine may call it.
type Log interface {
	// AppendAsync starts an append and returns before the log has the event.
	// Events of one caller are stored in the order of its calls. The body is
	// what [event.Event.AppendBody] made; the log owns it from then on.
	AppendAsync(ev *event.Event, body []byte) (Pending, error)
}

// A Pending is an append that has started. Any goroutine may use it.
type Pending interface {
	// Wait blocks until the log has the event, and returns the event's id.
	// Every call returns the same result.
	Wait(ctx context.Context) (event.Cursor, error)
	// Duplicate reports whether the log already had an event with this
	// idempotency key. Then Wait returns the id of that event, and this one is
	// not stored. It is valid after Wait has returned.
	Duplicate() bool
}

// Types checks payloads by the type of their event.
type Types interface {
	// Check returns what is wrong with a payload or with the type, or nil.
	Check(eventType string, payload []byte) *event.FieldError
}

// A Registry holds the gateways and their tokens; [auth.Registry] implements
// it.
type Registry interface {
	Add(ctx context.Context, g auth.NewGateway) (auth.Gateway, auth.Token, string, error)
	Get(id string) (auth.Gateway, bool)
	List(after string, limit int) (page []auth.Gateway, next string)
	// Export is List with the digests of the gateways' tokens.
	Export(after string, limit int) (page []auth.ExportedGateway, next string)
	BeginImport(ctx context.Context) (*auth.Import, error)
	Remove(ctx context.Context, id string) error
	AddToken(ctx context.Context, gatewayID string, expiresAt time.Time) (auth.Token, string, error)
	Tokens(gatewayID string) ([]auth.Token, error)
	RevokeToken(ctx context.Context, gatewayID, tokenID string) error
	// Reach returns how many gateways a target has and how many of them have a
	// connection on any node. If the target names a gateway that is not
	// registered, unknown is its id.
	Reach(t event.Target) (targets, connected int, unknown string)
	// CatchUp returns nil when this node knows every registry change that was
	// made on any node before the call. An error says why that cannot be
	// established.
	CatchUp(ctx context.Context) error
	Disconnected(t event.Target, limit int) (ids []string, total int)
}

// Connections lists and closes the live connections of this node.
// CloseConnection also reaches the connections of other nodes.
type Connections interface {
	// Page returns up to limit connections: those of one gateway, or all if
	// gatewayID is empty. Cursors are opaque. An empty after asks for the first
	// page; an empty next says that this is the last. The error wraps
	// [ErrCursor] if Page did not make the cursor.
	Page(ctx context.Context, gatewayID, after string, limit int) (page []stats.Connection, next string, err error)
	// CloseConnection closes one connection. It reports false if no node has
	// it.
	CloseConnection(ctx context.Context, id uuid.UUID) (found bool, err error)
}

// MaxListed is the largest number of gateway ids in a [DeliveryStatus] or a
// [Missed].
const MaxListed = 1000

// Events reads the retained events and their delivery status. Errors wrap
// [ErrNotRetained] if the event is not in the log. Any other error means that
// the log is unreachable.
type Events interface {
	Event(ctx context.Context, id event.Cursor) (Published, error)
	// List returns the events that match a query, oldest first, the cursor to
	// continue after, and whether there may be more. It may return fewer events
	// than the limit, or none, although there are more: when events are long,
	// or when matching ones are rare and searching takes long.
	List(ctx context.Context, q ListQuery) (list []Published, next event.Cursor, more bool, err error)
	// DeliveryStatus returns the delivery status of one event.
	DeliveryStatus(ctx context.Context, id event.Cursor) (DeliveryStatus, error)
	// Contains reports whether the event id belongs to the log's history. The
	// event itself may have left the log since (retention).
	Contains(ctx context.Context, id event.Cursor) (bool, error)
}

// A Published event is stored in the log. Body is what [event.Event.AppendBody]
// made.
type Published struct {
	Cursor  event.Cursor
	Target  event.Target
	Key     string
	Body    []byte
	Receipt string // [event.Event.Receipt]; set only by Events.Event
}

// A ListQuery selects retained events.
type ListQuery struct {
	GatewayID string       // only events for this gateway: by id, by group or for all; empty: no filter
	Type      string       // only this event type; empty: no filter
	After     event.Cursor // only later events; zero: from the oldest
	Limit     int
	Bytes     int // bytes of JSON after which the page ends; the last event may exceed it
}

// DeliveryStatus is how far the delivery of one event has come, counted in
// gateways.
type DeliveryStatus struct {
	Targets   int // gateways that the event is for
	Delivered int // of Targets: the event was written to a connection of the gateway
	Acked     int // of Delivered: the gateway acked that it applied the event
	Failed    int // of Delivered: a replica of the gateway acked that it could not
	Pending   int // of Targets: the event was not written to any connection yet

	FailedGateways  []string // up to MaxListed
	PendingGateways []string // up to MaxListed

	// NotAnswered are the ids of nodes that did not answer. What only they know
	// is not counted.
	NotAnswered []string
}

// Missed describes an event for which some target gateways had no connection
// when the log stored it. A node records it as failed deliveries
// ("not_connected").
type Missed struct {
	ID            event.Cursor
	Type          string
	CorrelationID string
	At            time.Time
	Gateways      []string // ids, at most MaxListed
	Total         int      // number of such gateways
}

// Failures lists the failed deliveries of the last 24 hours.
type Failures interface {
	// List returns failed deliveries as the JSON objects of the answer, oldest
	// first. A non-empty next is the cursor of the next page. The error wraps
	// [ErrCursor] if List did not make the cursor. Any other error means that
	// the log is unreachable.
	List(ctx context.Context, q FailureQuery) (list []json.RawMessage, next string, err error)
}

// A FailureQuery selects failed deliveries.
type FailureQuery struct {
	GatewayID string    // empty: of all gateways
	From      time.Time // inclusive; zero: from the oldest
	To        time.Time // exclusive; zero: up to the newest
	After     string    // a cursor that List returned; empty: the first page
	Limit     int
}

// Messages lists what gateways have reported.
type Messages interface {
	// List returns messages as the JSON objects of the answer, oldest first,
	// and the cursor to continue after, also when there are no messages. If
	// q.Wait is set and there are none, it waits for one. It may return fewer
	// than the limit although more follow, when messages are long. The error
	// wraps [ErrCursor] if List did not make the cursor, and the error of ctx
	// if ctx ends during the wait. Any other error means that the log is
	// unreachable.
	List(ctx context.Context, q MessageQuery) (list []json.RawMessage, cursor string, err error)
}

// A MessageQuery selects messages of gateways.
type MessageQuery struct {
	After string // a cursor that List returned; empty: from the oldest
	Limit int
	Wait  time.Duration // 0: do not wait
}
