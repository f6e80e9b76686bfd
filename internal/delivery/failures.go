// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"log/slog"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/shard"
)

// Failed is a failed delivery, in the form that the journal and the API have.
type Failed struct {
	Time          string `json:"time"`
	EventID       string `json:"eventId"`
	Type          string `json:"type"`
	GatewayID     string `json:"gatewayId"`
	CorrelationID string `json:"correlationId"`
	Reason        string `json:"reason"`
	Status        string `json:"status"`
}

func newFailed(at time.Time, id event.Cursor, head event.Head, gatewayID string, reason event.FailureReason) Failed {
	return Failed{
		Time: at.UTC().Format(event.TimeFormat), EventID: id.String(), Type: head.Type,
		GatewayID: gatewayID, CorrelationID: head.CorrelationID, Reason: reason.String(), Status: "failed",
	}
}

// FailedOf returns the failed deliveries of a notice of kind DeliveryFailed.
func FailedOf(n *shard.Notice) []Failed {
	failed := make([]Failed, 0, len(n.Messages))
	for _, m := range n.Messages {
		failed = append(failed, newFailed(n.At, m.Cursor, event.ReadHead(m.Body), n.GatewayID, n.Failure))
	}
	return failed
}

// LogFailed logs failed deliveries, a line each.
func LogFailed(logger *slog.Logger, failed []Failed) {
	for i := range failed {
		f := &failed[i]
		logger.Error("delivery failed", "gateway", f.GatewayID, "reason", f.Reason,
			"event", f.EventID, "type", f.Type, "correlationId", f.CorrelationID)
	}
}

// Missed is an event for which some target gateways had no connection.
type Missed struct {
	ID            event.Cursor
	Type          string
	CorrelationID string
	At            time.Time
	Gateways      []string // the first of them
	Total         int      // how many they are
}

// Missed counts, logs and records an event that some of its target gateways had no
// connection for. It never blocks.
func (r *Recorder) Missed(m Missed) {
	r.Counts.Failures.Fail(event.NotConnected, m.Total, m.At)
	head := event.Head{Type: m.Type, CorrelationID: m.CorrelationID}
	failed := make([]Failed, len(m.Gateways))
	for i, id := range m.Gateways {
		failed[i] = newFailed(m.At, m.ID, head, id, event.NotConnected)
	}
	if m.Total == 1 {
		LogFailed(r.Logger, failed)
	} else {
		r.Logger.Error("deliveries failed", "gateways", m.Total, "reason", event.NotConnected.String(),
			"event", m.ID, "type", m.Type, "correlationId", m.CorrelationID)
	}
	r.push(report{failed: failed})
}

// Failed records deliveries that a loop gave up. It never blocks.
func (r *Recorder) Failed(n shard.Notice) { r.push(report{notice: &n}) }

func appendFailures(records []eventlog.Record, failed []Failed) []eventlog.Record {
	for i := range failed {
		records = append(records, eventlog.Record{Name: failed[i].GatewayID, Data: marshal(&failed[i])})
	}
	return records
}
