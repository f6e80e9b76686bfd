// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"time"
	"unicode/utf8"
)

// A shared log can contain messages of other programs. This file finds them. The log
// checks every event that it reads, so the code is written for speed: it allocates
// nothing and looks at eight bytes of a string at a time.

// ReadBody reports whether body is what [Event.AppendBody] makes of an event for a
// target, apart from members that a later version may add: one compact JSON object in
// valid UTF-8 that begins with its type and has no id. published is its timestamp, zero
// for an event without one.
func ReadBody(body []byte, target Target) (published time.Time, ok bool) {
	if published, ok = readBody(body, target); !ok {
		published, ok = readLaterBody(body, target)
	}
	return published, ok
}

// readBody is ReadBody for what AppendBody makes today, which nearly all bodies are.
func readBody(body []byte, target Target) (published time.Time, ok bool) {
	at := len(`{"type":"`)
	if !bytes.HasPrefix(body, []byte(`{"type":"`)) {
		return published, false
	}
	end := bytes.IndexByte(body[at:], '"')
	if end < 0 || end > MaxTypeLen || !ValidType(string(body[at:at+end])) {
		return published, false
	}
	if at = skipWord(body, at+end, `","payload":`); at < 0 {
		return published, false
	}
	if at = skipValue(body, at, 1); at < 0 {
		return published, false
	}
	if at = skipFields(body, at); at < 0 {
		return published, false
	}
	if id, ok := target.Single(); ok {
		if at = skipWord(body, at, `,"gatewayId":"`); at < 0 {
			return published, false
		}
		if at = skipWord(body, at, id); at < 0 {
			return published, false
		}
		if at = skipWord(body, at, `"`); at < 0 {
			return published, false
		}
	}
	if at = skipWord(body, at, `,"timestamp":`); at < 0 || at+timestampLen > len(body) {
		return published, false
	}
	if published, ok = readTimestamp(body[at : at+timestampLen]); !ok {
		return published, false
	}
	if at = skipWord(body, at+timestampLen, `,"correlationId":`); at < 0 {
		return published, false
	}
	at = skipString(body, at)
	return published, at >= 0 && at+1 == len(body) && body[at] == '}' && utf8.Valid(body)
}

// readLaterBody is ReadBody for every body.
func readLaterBody(body []byte, target Target) (published time.Time, ok bool) {
	if !bytes.HasPrefix(body, []byte(`{"type":"`)) {
		return published, false
	}
	gateway, single := target.Single()
	var has struct{ payload, gateway, timestamp, correlation bool }
	ok = CheckMembers(body, func(name, value []byte) bool {
		switch string(name) {
		case "id":
			return false
		case "type":
			text, ok := plainString(value)
			return ok && ValidType(string(text))
		case "payload":
			has.payload = true
		case "gatewayId":
			has.gateway = true
			text, ok := plainString(value)
			return ok && single && string(text) == gateway
		case "timestamp":
			has.timestamp = true
			var ok bool
			published, ok = readTimestamp(value)
			return ok
		case "correlationId":
			has.correlation = true
			return value[0] == '"'
		case "traceparent":
			text, ok := plainString(value)
			return ok && len(text) == traceparentLen && wellFormed(text)
		}
		return true
	})
	return published, ok && has.payload && has.timestamp && has.correlation && has.gateway == single
}

// readTimestamp parses a time as [AppendTime] writes it.
func readTimestamp(value []byte) (at time.Time, ok bool) {
	if len(value) != timestampLen {
		return at, string(value) == `null` // an event without a time
	}
	// time.Parse accepts more forms, such as a comma before the fraction.
	for i, c := range []byte(`"____-__-__T__:__:__._________Z"`) {
		if c != '_' && value[i] != c {
			return at, false
		}
	}
	at, err := time.Parse(time.RFC3339Nano, string(value[1:timestampLen-1]))
	return at, err == nil && at.Year() >= 1970 && at.Year() <= maxYear
}

// maxYear is the last year whose nanoseconds since 1970 fit an int64.
const maxYear = 2261

const timestampLen = len(`"2006-01-02T15:04:05.000000000Z"`)

// plainString returns the text of a JSON string without escapes.
func plainString(value []byte) (text []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return nil, false
	}
	return value[1 : len(value)-1], true
}
