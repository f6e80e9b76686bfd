// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package event has the vocabulary of gatecast: an [Event], the [Target] that it is
// for, and the [Cursor] that is its position in the log; their JSON, their limits, and
// the reasons why connections are closed and deliveries fail. It does no I/O and
// imports only the strict JSON reader.
//
// The JSON of an event is made once, at publish: [Event.AppendBody] writes everything
// but the id, which is known only when the log has the event. [AppendWithID] then
// inserts the id without parsing anything.
package event

import (
	"encoding/json"
	"time"
)

// An Event is an event as it was published. It is immutable, so goroutines can share
// it.
type Event struct {
	Target  Target
	Type    string
	Payload json.RawMessage // compact, valid UTF-8; nil means null
	// Fields are the publisher's own envelope fields, as one compact JSON object, in the
	// publisher's order. Nil: there are none.
	Fields        json.RawMessage
	Timestamp     time.Time
	CorrelationID string
	// Traceparent is the span that caused the event; empty: none.
	Traceparent Traceparent
	// Key is the key for replay=latest: a newer event with the same key supersedes this
	// one. Empty: none does.
	Key string
	// IdempotencyKey identifies this publish: of several with the same key within two
	// minutes, the log takes the first. Empty: every publish is new. It is not in the
	// JSON.
	IdempotencyKey string
	// Receipt is what the publisher's answer contains besides the JSON. The log keeps
	// it with the event, so that a repeated publish gets the same answer from any node.
	// It is printable ASCII without spaces around it, at most [MaxReceiptLen] bytes,
	// and not in the JSON.
	Receipt string
}

// A Target is the gateways that an event is for. Exactly one of its fields is set.
type Target struct {
	GatewayIDs     []string
	Group          string
	OrganizationID string
	All            bool
}

// Single returns the id of the gateway if the target names exactly one.
func (t Target) Single() (id string, ok bool) {
	if len(t.GatewayIDs) != 1 {
		return "", false
	}
	return t.GatewayIDs[0], true
}

// AppendBody appends the event's JSON without its id:
//
//	{"type":…,"payload":…,FIELDS,"gatewayId":…,"timestamp":…,"correlationId":…,"traceparent":…}
//
// FIELDS are the event's own fields, which can be absent.
// gatewayId is only in an event for a single gateway, so that one encoding serves every
// receiver of other events. traceparent is only in an event that has one.
func (e *Event) AppendBody(dst []byte) []byte {
	dst = append(dst, `{"type":`...)
	dst = AppendString(dst, e.Type)
	dst = append(dst, `,"payload":`...)
	if e.Payload == nil {
		dst = append(dst, `null`...)
	} else {
		dst = append(dst, e.Payload...)
	}
	if n := len(e.Fields); n > len(`{}`) {
		dst = append(dst, ',')
		dst = append(dst, e.Fields[1:n-1]...)
	}
	if id, ok := e.Target.Single(); ok {
		dst = append(dst, `,"gatewayId":`...)
		dst = AppendString(dst, id)
	}
	dst = append(dst, `,"timestamp":`...)
	dst = AppendTime(dst, e.Timestamp)
	dst = append(dst, `,"correlationId":`...)
	dst = AppendString(dst, e.CorrelationID)
	if e.Traceparent != "" {
		dst = append(dst, traceparentField...)
		dst = append(dst, e.Traceparent...)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// traceparentField precedes the traceparent in a body.
const traceparentField = `,"traceparent":"`

const idPrefix = `{"id":"`

// SizeWithID returns how many bytes [AppendWithID] appends for an id of idLen bytes.
func SizeWithID(body []byte, idLen int) int {
	return len(idPrefix) + idLen + len(`",`) + len(body) - len(`{`)
}

// AppendWithID appends body, made by [Event.AppendBody], with the id c as its first
// field.
func AppendWithID(dst, body []byte, c Cursor) []byte {
	dst = append(dst, idPrefix...)
	dst = c.AppendText(dst)
	dst = append(dst, '"', ',')
	return append(dst, body[1:]...)
}
