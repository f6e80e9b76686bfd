// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/shard"
)

// evictionLogEvery is how often evictions are logged at most.
const evictionLogEvery = time.Minute

// A message is what a gateway sent, in the form that the journal and the API have.
type message struct {
	Type         string          `json:"type"`
	GatewayID    string          `json:"gatewayId"`
	ConnectionID string          `json:"connectionId"`
	Timestamp    string          `json:"timestamp"`
	EventID      string          `json:"eventId,omitempty"`
	Status       string          `json:"status,omitempty"`
	Error        string          `json:"error,omitempty"`
	Payload      json.RawMessage `json:"payload,omitempty"`
}

// messageRecord returns the record of a gateway's message. id is the event that it
// acknowledges; zero for none.
func messageRecord(m *shard.Inbound, id event.Cursor) eventlog.Record {
	msg := message{
		Type: m.Kind.String(), GatewayID: m.GatewayID, ConnectionID: m.ConnectionID.String(),
		Timestamp: m.At.UTC().Format(event.TimeFormat), Payload: m.Payload,
	}
	if !id.IsZero() {
		msg.EventID = id.String()
	}
	if m.Kind == event.EventAck { // a deployment.ack has its status in the payload
		msg.Status, msg.Error = m.Status, m.Error
	}
	return eventlog.Record{Name: m.GatewayID, Data: marshal(&msg)}
}

// writeMessages writes messages of gateways, and keeps each gateway within its share of
// the journal.
func (r *Recorder) writeMessages(ctx context.Context, messages []eventlog.Record) {
	for len(messages) > 0 {
		n := 0
		for bytes := 0; n < len(messages) && bytes < r.shares.batch(); n++ {
			bytes += recordSize(&messages[n])
		}
		last := r.write(ctx, r.messages, messages[:n])
		if last == 0 {
			return
		}
		now := time.Now()
		for i := range messages[:n] {
			m := &messages[i]
			if upTo, evicted := r.shares.add(m.Name, recordSize(m), last, now); upTo > 0 {
				r.evict(ctx, m.Name, upTo, evicted)
			}
		}
		messages = messages[n:]
	}
}

// recordSize returns about how many bytes a record takes in a journal.
func recordSize(r *eventlog.Record) int { return len(r.Data) + 2*len(r.Name) + 128 }

// evict removes a gateway's oldest messages up to a sequence. A reader that had not
// reached them finds a gap.
func (r *Recorder) evict(ctx context.Context, gateway string, upTo uint64, messages int) {
	if err := r.messages.Purge(ctx, gateway, upTo+1); err != nil {
		if ctx.Err() == nil {
			r.Logger.Warn("cannot remove the oldest messages of a gateway that exceeds its share of the journal", "gateway", gateway, "error", err)
		}
		return
	}
	r.Counts.MessagesEvicted.Add(float64(messages))
	if now := time.Now(); now.Sub(r.evictionLogged) > evictionLogEvery {
		r.evictionLogged = now
		r.Logger.Warn("a gateway exceeds its share of the journal of messages; its oldest messages were removed", "gateway", gateway, "messages", messages)
	}
}
