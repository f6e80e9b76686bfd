// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatecast/gatecast/internal/delivery/tracker"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"
)

// recordInbound records a message of a gateway: as an acknowledgement, if it matches an
// event, and as a message for the platform, except event.acks that report success or
// match nothing.
func (r *Recorder) recordInbound(ctx context.Context, m *shard.Inbound, b *batch) {
	id, matched := r.match(ctx, m)
	if matched {
		r.recordAck(ctx, m, id, b)
	}
	if m.Kind != event.EventAck || matched && m.Failed {
		b.messages = append(b.messages, messageRecord(m, id))
	}
}

// recordAck records the acknowledgement of an event. A failure is a failed delivery too.
func (r *Recorder) recordAck(ctx context.Context, m *shard.Inbound, id event.Cursor, b *batch) {
	b.updates.Acks = append(b.updates.Acks, tracker.Ack{GatewayID: m.GatewayID, Seq: id.Seq, Failed: m.Failed})
	if !m.Failed {
		return
	}
	r.Counts.Failures.Fail(event.Rejected, 1, m.At)
	var head event.Head // stays empty if the event has left the log
	if e, err := r.event(ctx, id); err == nil {
		head = e.head
	}
	b.failures = appendFailures(b.failures, []Failed{newFailed(m.At, id, head, m.GatewayID, event.Rejected)})
}

// match returns the event that a message acknowledges. ok is false, and id zero, if it
// acknowledges none, or none that was for the gateway. What is ignored is counted.
func (r *Recorder) match(ctx context.Context, m *shard.Inbound) (id event.Cursor, ok bool) {
	switch {
	case !m.Answers:
		r.ignore(metrics.AckUnknownStatus)
		return event.Cursor{}, false
	case m.Kind == event.DeploymentAck:
		return r.matchDeployment(m)
	}
	if reason := r.checkAck(ctx, m); reason != "" {
		r.ignore(reason)
		return event.Cursor{}, false
	}
	return m.Event, true
}

// ignore counts an acknowledgement that is ignored.
func (r *Recorder) ignore(reason string) { r.Counts.AcksIgnored.WithLabelValues(reason).Inc() }

// checkAck returns why an event.ack is ignored, "" if it counts: its event exists and was
// for the gateway. The loop knows that of recent events; else the log is read.
func (r *Recorder) checkAck(ctx context.Context, m *shard.Inbound) (reason string) {
	switch m.Owner {
	case shard.OwnerYes:
		return ""
	case shard.OwnerNo:
		return metrics.AckNotForGateway
	}
	e, err := r.event(ctx, m.Event)
	switch {
	case err != nil:
		return metrics.AckUnknownEvent
	case !r.IsTarget(m.GatewayID, e.target, e.id, e.published):
		return metrics.AckNotForGateway
	}
	return ""
}

// matchDeployment returns the event that a deployment.ack acknowledges. On a shared log
// an ack that matches none yet is kept for a while: the event can have reached the
// gateway from another node before it reaches this one.
func (r *Recorder) matchDeployment(m *shard.Inbound) (id event.Cursor, ok bool) {
	if id, ok = r.findDeployment(m); ok {
		return id, true
	}
	if r.Log.Shared() && m.DeploymentID != "" && len(r.lateAcks) < maxLateAcks {
		late := lateAck{*m, time.Now().Add(lateAckTimeout)}
		late.Payload = nil // it goes to the platform now
		r.lateAcks = append(r.lateAcks, late)
	} else {
		r.ignore(metrics.AckUnknownEvent)
	}
	return event.Cursor{}, false
}

// findDeployment returns the event that a deployment.ack acknowledges.
func (r *Recorder) findDeployment(m *shard.Inbound) (event.Cursor, bool) {
	return r.deployments.find(m.DeploymentID, m.PerformedAt, func(e *deploymentEvent) bool {
		// Exclude events published after the ack arrived. Clocks of nodes differ, so an event
		// that was dispatched here before the ack counts as earlier whatever its time.
		later := e.id.Seq > m.Dispatched && e.published.After(m.At)
		return !later && r.IsTarget(m.GatewayID, e.target, e.id, e.published)
	})
}

const (
	// lateAckTimeout is how far this node can lag behind the node that sent the event, until
	// a deployment.ack of it counts as one of an unknown event.
	lateAckTimeout = 3 * time.Second
	maxLateAcks    = 1000
)

// A lateAck is a deployment.ack that matches no event which this node has seen. It was
// recorded as a message; its payload is not kept.
type lateAck struct {
	shard.Inbound
	expires time.Time
}

// retryLateAcks records the late acks whose events have arrived, and drops those that
// have expired.
func (r *Recorder) retryLateAcks(ctx context.Context, now time.Time) {
	if len(r.lateAcks) == 0 {
		return
	}
	var b batch
	r.lateAcks = slices.DeleteFunc(r.lateAcks, func(a lateAck) (done bool) {
		if id, ok := r.findDeployment(&a.Inbound); ok {
			r.recordAck(ctx, &a.Inbound, id, &b)
			return true
		}
		if now.After(a.expires) {
			r.ignore(metrics.AckUnknownEvent)
			return true
		}
		return false
	})
	r.apply(b.updates.UpTo(r.Log.Valid(ctx, r.epoch)))
	r.write(ctx, r.failures, b.failures)
}

// A recentEvent is what acknowledgements of an event are checked with.
type recentEvent struct {
	id        event.Cursor // zero: the entry is free
	target    event.Target
	published time.Time
	head      event.Head
}

// recentEvents caches the events that were last acknowledged, by sequence modulo length.
type recentEvents [64]recentEvent

// event returns an event from the cache or the log. If the log is unreachable it retries
// while the node runs.
func (r *Recorder) event(ctx context.Context, id event.Cursor) (*recentEvent, error) {
	cached := &r.recent[id.Seq%uint64(len(r.recent))]
	if cached.id == id {
		return cached, nil
	}
	for {
		e, err := r.find(ctx, id)
		switch {
		case err == nil:
			*cached = recentEvent{id, e.Target, e.Published, event.ReadHead(e.Body)}
			return cached, nil
		case errors.Is(err, eventlog.ErrNotRetained) || ctx.Err() != nil:
			return nil, err
		}
		select {
		case <-r.quit: // the node stops
			return nil, err
		default:
			sleep(ctx, retryAfter)
		}
	}
}

// find reads an event from the log. It can be one that this node has not dispatched yet.
func (r *Recorder) find(ctx context.Context, id event.Cursor) (eventlog.Entry, error) {
	seq, ok, err := r.Log.Find(ctx, id)
	switch {
	case err != nil:
		return eventlog.Entry{}, err
	case !ok || seq == 0:
		return eventlog.Entry{}, eventlog.ErrNotRetained
	}
	return r.Log.Get(ctx, seq)
}
