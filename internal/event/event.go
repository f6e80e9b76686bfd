// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package event holds the words the rest of gatecast speaks in: an [Event], the
// [Target] it is for, and the [Cursor] that is its place in the log; their JSON
// and their limits. It does no I/O, and of gatecast it imports only what reads JSON.
//
// An event's JSON is made once, when it is published: [Event.AppendBody] writes
// everything but the id, which is known only when the log has taken the event.
// [AppendWithID] then splices the id in front without parsing anything.
package event

import (
	"encoding/json"
	"time"
)

// An Event is something that happened on the platform, as it is published. It
// is not changed once made.
type Event struct {
	Target        Target
	Type          string
	Payload       json.RawMessage // compact, valid UTF-8; nil means null
	Timestamp     time.Time
	CorrelationID string
	// Traceparent is the span that led to the event, empty for none.
	Traceparent Traceparent
	// Key names what the event is about: of several events of one key, the
	// newest replaces the others. Empty for an event that nothing replaces.
	Key string
	// IdempotencyKey names this publish: of several with the same one within two
	// minutes, the log takes the first. Empty for a publish that is never the same as
	// another. It is no part of the JSON.
	IdempotencyKey string
	// Receipt is what the publisher is told besides what the JSON has. The log keeps it
	// with the event, so that a repeat gets the same from any node. Printable ASCII
	// without spaces around it, at most [MaxReceiptLen] bytes; no part of the JSON.
	Receipt string
}

// A Target says which gateways an event is for. Exactly one of its fields is
// set.
type Target struct {
	GatewayIDs []string
	Group      string
	All        bool
}

// Single returns the id of the one gateway the target names, and whether it
// names just one.
func (t Target) Single() (id string, ok bool) {
	if len(t.GatewayIDs) != 1 {
		return "", false
	}
	return t.GatewayIDs[0], true
}

// AppendBody appends the event's JSON without its id:
//
//	{"type":…,"payload":…,"gatewayId":…,"timestamp":…,"correlationId":…,"traceparent":…}
//
// "gatewayId" stands only in an event for a single gateway, so that one encoding
// serves every receiver of a wider one; "traceparent" only in one that has it.
func (e *Event) AppendBody(dst []byte) []byte {
	dst = append(dst, `{"type":`...)
	dst = AppendString(dst, e.Type)
	dst = append(dst, `,"payload":`...)
	if e.Payload == nil {
		dst = append(dst, `null`...)
	} else {
		dst = append(dst, e.Payload...)
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

// traceparentField is what stands before a body's traceparent.
const traceparentField = `,"traceparent":"`

const idPrefix = `{"id":"`

// SizeWithID returns the length of what [AppendWithID] appends for an id whose
// text has idLen bytes.
func SizeWithID(body []byte, idLen int) int {
	return len(idPrefix) + idLen + len(`",`) + len(body) - len(`{`)
}

// AppendWithID appends body, as [Event.AppendBody] made it, with the id c as its
// first field.
func AppendWithID(dst, body []byte, c Cursor) []byte {
	dst = append(dst, idPrefix...)
	dst = c.AppendText(dst)
	dst = append(dst, '"', ',')
	return append(dst, body[1:]...)
}
