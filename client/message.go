// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// An Event is one message of the server's.
type Event struct {
	// ID is the event's place in the log: opaque, and growing for one gateway.
	// A message that is no event of the log has none.
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
	// GatewayID is this gateway's in an event for it alone, and empty in one for
	// several.
	GatewayID     string    `json:"gatewayId"`
	Timestamp     time.Time `json:"timestamp"`
	CorrelationID string    `json:"correlationId"`
	// Traceparent is the span to go on from, as a traceparent header of W3C Trace
	// Context; empty in an event without one.
	Traceparent string `json:"traceparent"`

	// Raw is the message as it arrived.
	Raw []byte `json:"-"`
}

// An Ack is what the server says when it takes a connection.
type Ack struct {
	GatewayID    string    `json:"gatewayId"`
	ConnectionID string    `json:"connectionId"`
	Timestamp    time.Time `json:"timestamp"`
	// Cursor is the place in the log from which on events reach the connection.
	Cursor string `json:"cursor"`
	// Resumed reports whether the connection goes on where another ended.
	Resumed bool `json:"resumed"`
}

// A Resync says that the gateway has missed events which the server cannot send it
// any more. It goes on with what is published behind Cursor.
type Resync struct {
	// Reason is the server's word for why: not_retained, other_epoch,
	// unknown_position or ahead_of_log.
	Reason string `json:"reason"`
	Cursor string `json:"cursor"`
}

// Resync reports whether the message is a [Resync], and returns it.
func (e Event) Resync() (r Resync, ok bool) {
	if e.ID != "" || e.Type != "resync.required" {
		return Resync{}, false
	}
	return r, json.Unmarshal(e.Raw, &r) == nil
}

// parseEvent reads an event from a text of which it keeps nothing.
func parseEvent(text []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(text, &e); err != nil {
		return Event{}, fmt.Errorf("message is not an event: %w", err)
	}
	e.Raw = slices.Clone(text)
	return e, nil
}

func parseAck(text []byte) (Ack, error) {
	var m struct {
		Type string `json:"type"`
		Ack
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Ack{}, fmt.Errorf("first message is not an ack: %w", err)
	}
	if m.Type != "connection.ack" {
		return Ack{}, fmt.Errorf("first message is a %q, want a connection.ack: is this a gatecast server?", m.Type)
	}
	return m.Ack, nil
}
