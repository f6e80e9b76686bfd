// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/api"
	"github.com/gatecast/gatecast/internal/delivery/tracker"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/presence"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats"

	"github.com/google/uuid"
)

// apiLog is the event log as the api wants it.
type apiLog struct{ *eventlog.Log }

// AppendAsync returns the log's own pending append as the api's.
func (l apiLog) AppendAsync(ev *event.Event, body []byte) (api.Pending, error) {
	return l.Log.AppendAsync(ev, body)
}

// apiConnections is the router as the api wants it.
type apiConnections struct {
	router *shard.Router
	peers  *presence.Peers
}

func (c apiConnections) Page(_ context.Context, gatewayID, after string, limit int) ([]stats.Connection, string, error) {
	page, next, err := c.router.Connections(gatewayID, after, limit)
	if errors.Is(err, shard.ErrPageCursor) {
		return nil, "", fmt.Errorf("%w: %v", api.ErrCursor, err)
	}
	return page, next, err
}

func (c apiConnections) CloseConnection(ctx context.Context, id uuid.UUID) (bool, error) {
	if c.router.CloseConnection(id) {
		return true, nil
	}
	return c.peers.CloseConnection(ctx, id)
}

// apiEvents is the log, and what became of its events, as the api wants them.
type apiEvents struct{ n *Node }

func (e apiEvents) Contains(ctx context.Context, id event.Cursor) (bool, error) {
	_, ok, err := e.n.log.Find(ctx, id)
	return ok, err
}

func (e apiEvents) Event(ctx context.Context, id event.Cursor) (api.Published, error) {
	entry, err := e.get(ctx, id)
	return published(entry), err
}

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

func (e apiEvents) List(ctx context.Context, q api.ListQuery) (list []api.Published, next event.Cursor, more bool, err error) {
	query := eventlog.Query{GatewayID: q.GatewayID, Type: q.Type, After: q.After.Seq, Limit: q.Limit, Bytes: q.Bytes}
	if g := e.n.registry.Lookup(q.GatewayID); g != nil {
		query.Groups = g.Groups
		query.Wants = func(t event.Target, at event.Cursor) bool { return at.Seq > e.n.begins(g, t) }
	}
	entries, next, more, err := e.n.log.List(ctx, query)
	for _, entry := range entries {
		list = append(list, published(entry))
	}
	return list, next, more, err
}

// Outcome counts what became of an event. The gateways it was for are those whose
// barrier lies before it.
func (e apiEvents) DeliveryStatus(ctx context.Context, id event.Cursor) (o api.DeliveryStatus, err error) {
	entry, err := e.get(ctx, id)
	if err != nil {
		return o, err
	}
	if id.Seq <= e.n.recorder.book.Floor() {
		return o, fmt.Errorf("%w: what became of it is not kept any more", api.ErrNotRetained)
	}
	e.n.registry.EachTarget(entry.Target, func(g *auth.Gateway) {
		if !e.n.wasTarget(g, &entry) {
			return
		}
		gateway := g.ID
		o.Targets++
		switch e.n.recorder.book.Status(gateway, id.Seq) {
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

// list adds an id to a list that is not full.
func list(ids []string, id string) []string {
	if len(ids) < api.MaxListed {
		return append(ids, id)
	}
	return ids
}

// missed takes an event that some of its gateways had no connection for.
func (n *Node) missed(m api.Missed) {
	n.counts.Failures.Fail(event.NotConnected, m.Total, m.At)
	failed := make([]failedDelivery, len(m.Gateways))
	for i, id := range m.Gateways {
		failed[i] = newFailed(m.At, m.ID, m.Type, m.CorrelationID, id, event.NotConnected)
	}
	if m.Total == 1 {
		logFailed(n.cfg.Logger, failed)
	} else {
		n.cfg.Logger.Error("deliveries failed", "gateways", m.Total, "reason", event.NotConnected.String(),
			"event", m.ID, "type", m.Type, "correlationId", m.CorrelationID)
	}
	n.recorder.fail(failed)
}

// apiFailures is the journal of failed deliveries as the api wants it. Its cursors
// are places in the journal.
type apiFailures struct{ journal *eventlog.Journal }

func (f apiFailures) List(ctx context.Context, q api.FailureQuery) (list []json.RawMessage, next string, err error) {
	after, in, err := journalPlace(ctx, f.journal, q.After)
	if err != nil {
		return nil, "", err
	}
	records, err := f.journal.Read(ctx, eventlog.JournalQuery{
		After: after, In: in, From: q.From, To: q.To, Name: q.GatewayID, Limit: q.Limit + 1,
	})
	if err != nil {
		return nil, "", err
	}
	if len(records) > q.Limit {
		records = records[:q.Limit]
		next = records[q.Limit-1].Cursor.String()
	}
	for _, r := range records {
		list = append(list, r.Data)
	}
	return list, next, nil
}

// apiMessages is the journal of what gateways sent as the api wants it. The id of a
// message is its place in the journal.
type apiMessages struct{ journal *eventlog.Journal }

func (m apiMessages) List(ctx context.Context, q api.MessageQuery) (list []json.RawMessage, cursor string, err error) {
	after, in, err := journalPlace(ctx, m.journal, q.After)
	if err != nil {
		return nil, "", err
	}
	if q.After == "" { // what left the journal before somebody read it is no gap
		first, _, err := m.journal.Bounds(ctx)
		if err != nil {
			return nil, "", err
		}
		after = first - 1
	}
	records, at, err := m.read(ctx, eventlog.JournalQuery{After: after, In: in, Limit: q.Limit}, q.Wait)
	if err != nil {
		return nil, "", err
	}
	for _, r := range records {
		data := r.Data
		if r.Missing > 0 {
			data = marshal(&gapMessage{Type: "gap", Timestamp: r.At.UTC().Format(event.TimeFormat), Missing: r.Missing})
		}
		list = append(list, event.AppendWithID(nil, data, r.Cursor))
	}
	return list, at.String(), nil
}

// A gapMessage stands where messages have left the journal before they were read.
type gapMessage struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Missing   uint64 `json:"missing"`
}

func (m apiMessages) read(ctx context.Context, query eventlog.JournalQuery, wait time.Duration) ([]eventlog.Record, event.Cursor, error) {
	records, next, err := m.journal.ReadOn(ctx, query)
	if err != nil || len(records) > 0 || wait <= 0 {
		return records, next, err
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	query.After = max(query.After, next.Seq)
	switch err := m.journal.Await(waiting, query.After); {
	case err == nil:
		return m.journal.ReadOn(ctx, query)
	case ctx.Err() == nil && waiting.Err() != nil: // none came
		return nil, next, nil
	default:
		return nil, next, err
	}
}

// journalPlace reads a place in a journal from its text, and returns it with the lineage
// that it is of; empty is before everything.
func journalPlace(ctx context.Context, j *eventlog.Journal, text string) (uint64, *eventlog.Lineage, error) {
	in, err := j.Lineage(ctx)
	if err != nil || text == "" {
		return 0, in, err
	}
	c, err := event.ParseCursor(text)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %q", api.ErrCursor, text)
	}
	seq, ok, err := j.Resolve(ctx, c)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %q", api.ErrCursor, text)
	}
	return seq, in, err
}
