// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Event is one message from the server.
type Event struct {
	// ID is the position of the event in the log. It is opaque, and increases for one gateway. A
	// message that is not in the log has none.
	ID      string          `json:"id"`
	Type    string          `json:"type"` // for example "api.deployed"
	Payload json.RawMessage `json:"payload"`
	// GatewayID is set only in an event for this gateway alone.
	GatewayID     string    `json:"gatewayId"`
	Timestamp     time.Time `json:"timestamp"`     // when the server accepted the event, UTC
	CorrelationID string    `json:"correlationId"` // the publisher's, or a UUID
	// Traceparent is the parent span, in the format of the traceparent header of W3C Trace
	// Context. Empty if the event is not traced.
	Traceparent string `json:"traceparent"`

	// Raw is the message as received. [Event.Fields] reads the publisher's own fields from it.
	Raw []byte `json:"-"`
}

// ownNames are the members of an event's message that the server makes.
var ownNames = []string{"id", "type", "payload", "gatewayId", "timestamp", "correlationId", "traceparent"}

// Fields returns the publisher's own envelope fields: the members of the message that the server
// did not make. It parses Raw at each call. It returns nil if there are none, and for a message
// that is not in the log.
func (e Event) Fields() map[string]json.RawMessage {
	if e.ID == "" {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(e.Raw, &fields) != nil {
		return nil
	}
	for _, name := range ownNames {
		delete(fields, name)
	}
	for name := range fields {
		if strings.HasPrefix(name, "gatecast") { // for members of later versions
			delete(fields, name)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return fields
}

// An Ack is the server's first message on a connection.
type Ack struct {
	GatewayID    string    `json:"gatewayId"`
	ConnectionID string    `json:"connectionId"`
	Timestamp    time.Time `json:"timestamp"`
	// Cursor is the position where the connection begins: the gateway receives every event of its
	// own after it.
	Cursor string `json:"cursor"`
	// Resumed reports whether the connection begins at the position that the client sent.
	Resumed bool `json:"resumed"`
}

// A Resync reports that the gateway has missed events that the server no longer has. The
// connection continues with the events after Cursor.
type Resync struct {
	// Reason is not_retained, other_epoch, unknown_position or ahead_of_log.
	Reason string `json:"reason"`
	Cursor string `json:"cursor"` // a position, as in [Ack]
}

// Resync returns the [Resync] that the message is; ok reports whether it is one.
func (e Event) Resync() (r Resync, ok bool) {
	if e.ID != "" || e.Type != "resync.required" {
		return Resync{}, false
	}
	return r, json.Unmarshal(e.Raw, &r) == nil
}

// parseEvent parses an event. It does not keep text.
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
