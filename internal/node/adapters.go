// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/api"
	"github.com/gatecast/gatecast/internal/delivery"
	"github.com/gatecast/gatecast/internal/delivery/tracker"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/presence"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats"

	"github.com/google/uuid"
)

// apiLog implements api.Log.
type apiLog struct{ *eventlog.Log }

// AppendAsync returns the log's pending append as the API's type.
func (l apiLog) AppendAsync(ev *event.Event, body []byte) (api.Pending, error) {
	return l.Log.AppendAsync(ev, body)
}

// apiConnections implements api.Connections: those of this node and, to close one, of
// the others.
type apiConnections struct {
	router *shard.Router
	peers  *presence.Peers
}

// Page returns a page of this node's connections. The shards answer one after another, each
// on its own loop between two turns.
func (c apiConnections) Page(_ context.Context, gatewayID, after string, limit int) ([]stats.Connection, string, error) {
	page, next, err := c.router.Connections(gatewayID, after, limit)
	if errors.Is(err, shard.ErrPageCursor) {
		return nil, "", fmt.Errorf("%w: %v", api.ErrCursor, err)
	}
	return page, next, err
}

// CloseConnection closes a connection. It asks the other nodes only if this one does not
// have it. It reports whether any node had it.
func (c apiConnections) CloseConnection(ctx context.Context, id uuid.UUID) (bool, error) {
	if c.router.CloseConnection(id) {
		return true, nil
	}
	return c.peers.CloseConnection(ctx, id)
}

// apiEvents implements api.Events: the log and the delivery status of its events.
type apiEvents struct{ n *Node }

// Contains reports whether an id is one of the log's history. Its event may have left the
// log by retention.
func (e apiEvents) Contains(ctx context.Context, id event.Cursor) (bool, error) {
	_, ok, err := e.n.log.Find(ctx, id)
	return ok, err
}

// Event returns an event that the log still has. api.ErrNotRetained: it has not.
func (e apiEvents) Event(ctx context.Context, id event.Cursor) (api.Published, error) {
	entry, err := e.get(ctx, id)
	return published(entry), err
}

// get reads an event by its id. An id has to be found first: after a restored backup the
// log can have another event at its sequence.
func (e apiEvents) get(ctx context.Context, id event.Cursor) (eventlog.Entry, error) {
	seq, ok, err := e.n.log.Find(ctx, id)
	switch {
	case err != nil:
		return eventlog.Entry{}, err
	case !ok:
		return eventlog.Entry{}, fmt.Errorf("%w: it is not in the log's history", api.ErrNotRetained)
	}
	entry, err := e.n.log.Get(ctx, seq)
	if errors.Is(err, eventlog.ErrNotRetained) {
		return eventlog.Entry{}, fmt.Errorf("%w: %v", api.ErrNotRetained, err)
	}
	return entry, err
}

func published(e eventlog.Entry) api.Published {
	return api.Published{Cursor: e.Cursor, Target: e.Target, Key: e.Key, Body: e.Body, Receipt: e.Receipt}
}

// List returns retained events in the order of the log. For a gateway these are the events
// that it is, or was, sent: by its id or a group, and after its barriers (ADR 20).
func (e apiEvents) List(ctx context.Context, q api.ListQuery) (list []api.Published, next event.Cursor, more bool, err error) {
	query := eventlog.Query{GatewayID: q.GatewayID, Type: q.Type, After: q.After.Seq, Limit: q.Limit, Bytes: q.Bytes}
	if g := e.n.registry.Lookup(q.GatewayID); g != nil {
		query.Groups, query.OrganizationID = g.Groups, g.OrganizationID
		query.Wants = func(t event.Target, at event.Cursor) bool { return at.Seq > e.n.dispatcher.BarrierFor(g, t) }
	}
	entries, next, more, err := e.n.log.List(ctx, query)
	for _, entry := range entries {
		list = append(list, published(entry))
	}
	return list, next, more, err
}

// DeliveryStatus counts the target gateways of an event by status. The targets are the
// gateways of its target whose barrier is before it. It costs a step per gateway of the
// target, on the goroutine of the request; the lists have at most api.MaxListed ids.
func (e apiEvents) DeliveryStatus(ctx context.Context, id event.Cursor) (o api.DeliveryStatus, err error) {
	entry, err := e.get(ctx, id)
	if err != nil {
		return o, err
	}
	if id.Seq <= e.n.recorder.Floor() {
		return o, fmt.Errorf("%w: its delivery status is no longer known", api.ErrNotRetained)
	}
	e.n.registry.EachTarget(entry.Target, func(g *auth.Gateway) {
		if !e.n.dispatcher.IsAfterBarrier(g, entry.Target, entry.Cursor, entry.Published) {
			return
		}
		gateway := g.ID
		o.Targets++
		switch e.n.recorder.Status(gateway, id.Seq) {
		case tracker.Pending:
			o.Pending++
			o.PendingGateways = list(o.PendingGateways, gateway)
			return
		case tracker.Acked:
			o.Acked++
		case tracker.Failed:
			o.Failed++
			o.FailedGateways = list(o.FailedGateways, gateway)
		}
		o.Delivered++
	})
	slices.Sort(o.PendingGateways)
	slices.Sort(o.FailedGateways)
	_, o.NotAnswered = e.n.peers.Names()
	return o, nil
}

// list appends an id unless the list is full.
func list(ids []string, id string) []string {
	if len(ids) < api.MaxListed {
		return append(ids, id)
	}
	return ids
}

// apiFailures implements api.Failures.
type apiFailures struct{ *delivery.Recorder }

// List returns failed deliveries, the oldest first, and the cursor after them.
func (f apiFailures) List(ctx context.Context, q api.FailureQuery) ([]json.RawMessage, string, error) {
	list, next, err := f.Failures(ctx, delivery.FailureQuery(q))
	return list, next, cursorError(q.After, err)
}

// apiMessages implements api.Messages.
type apiMessages struct{ *delivery.Recorder }

// List returns what gateways reported, and the cursor after it. With q.Wait it waits for the
// first message, as long as the client does.
func (m apiMessages) List(ctx context.Context, q api.MessageQuery) ([]json.RawMessage, string, error) {
	list, cursor, err := m.Messages(ctx, delivery.MessageQuery(q))
	return list, cursor, cursorError(q.After, err)
}

// cursorError turns an error about a cursor into the API's.
func cursorError(cursor string, err error) error {
	if errors.Is(err, delivery.ErrCursor) {
		return fmt.Errorf("%w: %q", api.ErrCursor, cursor)
	}
	return err
}
