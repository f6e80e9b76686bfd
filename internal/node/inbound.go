// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/gatecast/gatecast/internal/delivery/tracker"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"
)

// An answeredEvent is what answers are checked with.
type answeredEvent struct {
	cursor    event.Cursor // zero when there is none
	target    event.Target
	published time.Time
	head      event.Head
}

// answeredEvents keeps the events that were answered last, by their sequence.
type answeredEvents [64]answeredEvent

// takeInbound records a gateway's message: as an answer to an event, if it is one, and
// in the journals that the platform reads.
func (r *recorder) takeInbound(ctx context.Context, m *shard.Inbound, facts *tracker.Updates, messages, failures *[]eventlog.Record) {
	id, known := r.answered(ctx, m)
	if known {
		r.answer(ctx, m, id, facts, failures)
	}
	if m.Kind == event.EventAck && (!known || !m.Failed) {
		return
	}
	text := inboundMessage{
		Type: m.Kind.String(), GatewayID: m.GatewayID, ConnectionID: m.ConnectionID.String(),
		Timestamp: m.At.UTC().Format(event.TimeFormat), Payload: m.Payload,
	}
	if known {
		text.EventID = id.String()
	}
	if m.Kind == event.EventAck {
		text.Status, text.Error = m.Status, m.Error
	}
	*messages = append(*messages, eventlog.Record{Name: m.GatewayID, Data: marshal(&text)})
}

// answer records a gateway's answer to an event that was for it.
func (r *recorder) answer(ctx context.Context, m *shard.Inbound, id event.Cursor, facts *tracker.Updates, failures *[]eventlog.Record) {
	facts.Acks = append(facts.Acks, tracker.Ack{GatewayID: m.GatewayID, Seq: id.Seq, Failed: m.Failed})
	if !m.Failed {
		return
	}
	r.counts.Failures.Fail(event.Rejected, 1, m.At)
	var head event.Head // stays empty when the event has left the log
	if e, err := r.event(ctx, id); err == nil {
		head = e.head
	}
	failed := newFailed(m.At, id, head.Type, head.CorrelationID, m.GatewayID, event.Rejected)
	*failures = append(*failures, failureRecord(&failed))
}

// An inboundMessage is what a gateway said, as it stands in the journal.
type inboundMessage struct {
	Type         string          `json:"type"`
	GatewayID    string          `json:"gatewayId"`
	ConnectionID string          `json:"connectionId"`
	Timestamp    string          `json:"timestamp"`
	EventID      string          `json:"eventId,omitempty"`
	Status       string          `json:"status,omitempty"`
	Error        string          `json:"error,omitempty"`
	Payload      json.RawMessage `json:"payload,omitempty"`
}

// answered returns the event that a message answers; ok is false when it answers none,
// or none that was for the gateway. What is ignored is counted.
func (r *recorder) answered(ctx context.Context, m *shard.Inbound) (id event.Cursor, ok bool) {
	ignored := func(reason string) (event.Cursor, bool) {
		r.counts.AcksIgnored.WithLabelValues(reason).Inc()
		return event.Cursor{}, false
	}
	if !m.Answers {
		return ignored(metrics.AckUnknownStatus)
	}
	if m.Kind == event.DeploymentAck {
		id, ok = r.deployment(m)
		switch {
		case ok:
			return id, true
		case r.log.Shared() && m.DeploymentID != "" && len(r.late) < maxLate:
			late := lateAck{*m, time.Now().Add(lateFor)}
			late.m.Payload = nil
			r.late = append(r.late, late)
			return event.Cursor{}, false
		}
		return ignored(metrics.AckUnknownEvent)
	}
	switch m.Owner {
	case shard.OwnerYes:
		return m.Event, true
	case shard.OwnerNo:
		return ignored(metrics.AckNotForGateway)
	}
	switch e, err := r.event(ctx, m.Event); {
	case err != nil:
		return ignored(metrics.AckUnknownEvent)
	case !r.wasFor(m.GatewayID, e.target, e.cursor, e.published):
		return ignored(metrics.AckNotForGateway)
	}
	return m.Event, true
}

// event returns an event for its answers to be checked with. It waits while the log
// cannot be read, for as long as the node runs.
func (r *recorder) event(ctx context.Context, id event.Cursor) (*answeredEvent, error) {
	last := &r.recent[id.Seq%uint64(len(r.recent))]
	if last.cursor == id {
		return last, nil
	}
	for {
		e, err := r.find(ctx, id)
		switch {
		case err == nil:
			*last = answeredEvent{id, e.Target, e.Published, event.ReadHead(e.Body)}
			return last, nil
		case errors.Is(err, eventlog.ErrNotRetained) || ctx.Err() != nil:
			return nil, err
		}
		select {
		case <-r.quit: // the node ends
			return nil, err
		default:
			pause(ctx, recordRetry)
		}
	}
}

// find returns the event with an id, which another node may have sent to the gateway
// before this one has seen it.
func (r *recorder) find(ctx context.Context, id event.Cursor) (eventlog.Entry, error) {
	seq, ok, err := r.log.Find(ctx, id)
	switch {
	case err != nil:
		return eventlog.Entry{}, err
	case !ok || seq == 0:
		return eventlog.Entry{}, eventlog.ErrNotRetained
	}
	return r.log.Get(ctx, seq)
}

// deployment returns the event that a deployment.ack answers.
func (r *recorder) deployment(m *shard.Inbound) (event.Cursor, bool) {
	return r.deployed.find(m.DeploymentID, m.PerformedAt, func(e *deploymentEvent) bool {
		// Not one that was published after the ack came. Clocks of nodes differ, so
		// what was dispatched here before the ack is never later than it.
		late := e.cursor.Seq > m.Dispatched && e.published.After(m.At)
		return !late && r.wasFor(m.GatewayID, e.target, e.cursor, e.published)
	})
}

const (
	// lateFor is how long this node may be behind the one that has sent an event to its
	// gateway, until a deployment.ack of that counts as of none.
	lateFor = 3 * time.Second
	maxLate = 1000
)

// A lateAck is a deployment.ack that answers no event which this node has seen. The
// platform has been told of it.
type lateAck struct {
	m     shard.Inbound
	until time.Time
}

// takeLate counts the deployment.acks whose events have come since, and gives up those that
// have waited for long.
func (r *recorder) takeLate(ctx context.Context, now time.Time) {
	if len(r.late) == 0 {
		return
	}
	var facts tracker.Updates
	var failures []eventlog.Record
	r.late = slices.DeleteFunc(r.late, func(a lateAck) bool {
		m := &a.m
		id, ok := r.deployment(m)
		switch {
		case ok:
			r.answer(ctx, m, id, &facts, &failures)
		case now.After(a.until):
			r.counts.AcksIgnored.WithLabelValues(metrics.AckUnknownEvent).Inc()
			ok = true
		}
		return ok
	})
	facts = facts.UpTo(r.log.Valid(ctx, r.epoch))
	r.book.Apply(facts)
	r.facts.Acks = append(r.facts.Acks, facts.Acks...)
	r.write(ctx, r.failures, failures)
}
