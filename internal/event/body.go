// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/json"
	"time"
)

// Published returns the timestamp in a body made by [Event.AppendBody]. It parses
// nothing else and allocates nothing; ok is false for any other body.
func Published(body []byte) (at time.Time, ok bool) {
	// Only a traceparent can follow the correlation id, and inside a JSON string every
	// quote is escaped. So the last match is the field's own name.
	i := bytes.LastIndex(body, []byte(`","correlationId":"`))
	start := i - len(`2006-01-02T15:04:05.000000000Z`)
	if start < 0 {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(body[start:i]))
	return at, err == nil
}

// TraceparentOf returns the traceparent in a body made by [Event.AppendBody], empty
// when there is none. It looks at the end of the body only.
func TraceparentOf(body []byte) Traceparent {
	const tail = len(traceparentField) + traceparentLen + len(`"}`)
	if len(body) < tail {
		return ""
	}
	// Inside a JSON string a backslash precedes every quote; here a colon does. So this
	// is the field itself, and not a part of another field's text.
	text, ok := bytes.CutPrefix(body[len(body)-tail:], []byte(traceparentField))
	if !ok || text[traceparentLen] != '"' {
		return ""
	}
	t, _ := ParseTraceparent(text[:traceparentLen])
	return t
}

// TypeOf returns the type in a body made by [Event.AppendBody], without parsing the
// rest of it; empty for any other body.
func TypeOf(body []byte) string {
	rest, ok := bytes.CutPrefix(body, []byte(`{"type":"`))
	name, _, closed := bytes.Cut(rest, []byte(`"`))
	if !ok || !closed || !ValidType(string(name)) {
		return ""
	}
	return string(name)
}

// A Head is what log lines say about an event.
type Head struct {
	Type          string `json:"type"`
	CorrelationID string `json:"correlationId"`
}

// ReadHead reads the head from an event's JSON, with or without its id. It parses all
// of it, so it is for events that failed. Text that is no event gives the zero Head.
func ReadHead(body []byte) Head {
	var h Head
	if err := json.Unmarshal(body, &h); err != nil {
		return Head{}
	}
	return h
}
