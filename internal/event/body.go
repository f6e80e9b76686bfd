// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/json"
	"time"
)

// Published returns the timestamp in a body that [Event.AppendBody] made. It
// parses nothing else and allocates nothing; ok is false for a body of another
// make.
func Published(body []byte) (at time.Time, ok bool) {
	// Behind the correlation id there is a traceparent at most, and inside a JSON
	// string every quote is escaped, so the last such run of bytes is the field's
	// own name.
	i := bytes.LastIndex(body, []byte(`","correlationId":"`))
	start := i - len(`2006-01-02T15:04:05.000000000Z`)
	if start < 0 {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(body[start:i]))
	return at, err == nil
}

// TraceparentOf returns the traceparent in a body that [Event.AppendBody] made,
// empty when there is none. It looks at the body's end only.
func TraceparentOf(body []byte) Traceparent {
	const tail = len(traceparentField) + traceparentLen + len(`"}`)
	if len(body) < tail {
		return ""
	}
	// Inside a JSON string a backslash stands before every quote, and here stands a
	// colon: so this is the field's own text, and not a part of another's.
	text, ok := bytes.CutPrefix(body[len(body)-tail:], []byte(traceparentField))
	if !ok || text[traceparentLen] != '"' {
		return ""
	}
	t, _ := ParseTraceparent(text[:traceparentLen])
	return t
}

// TypeOf returns the type in a body that [Event.AppendBody] made, without parsing
// the rest of it; empty for a body of another make.
func TypeOf(body []byte) string {
	rest, ok := bytes.CutPrefix(body, []byte(`{"type":"`))
	name, _, closed := bytes.Cut(rest, []byte(`"`))
	if !ok || !closed || !ValidType(string(name)) {
		return ""
	}
	return string(name)
}

// A Head is what logs say of an event.
type Head struct {
	Type          string `json:"type"`
	CorrelationID string `json:"correlationId"`
}

// ReadHead reads the head from an event's JSON, with or without its id. It is
// the slow way, for an event that went wrong; text that is no event's gives the
// zero Head.
func ReadHead(body []byte) Head {
	var h Head
	if err := json.Unmarshal(body, &h); err != nil {
		return Head{}
	}
	return h
}
