// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"
	"unicode/utf8"
)

// What other programs write into a shared log is told from events of ours here. The
// log checks every event that it reads, so this is written for speed: it allocates
// nothing and looks at eight bytes of a string at a time.

const (
	// maxMembers bounds the members of an object that CheckMembers accepts.
	maxMembers = 64
	// maxDepth is how deep a value may be nested. Encoding/json has the same limit, so
	// no publisher gets a deeper one into the log.
	maxDepth = 10_000
)

// ReadBody reports whether body is what [Event.AppendBody] makes of an event for a
// target, apart from members that a later version may add: one compact JSON object in
// valid UTF-8 that begins with its type and has no id. Published is its timestamp, zero
// for an event that has none.
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

// readTimestamp reads a time as [AppendTime] writes it.
func readTimestamp(value []byte) (at time.Time, ok bool) {
	if len(value) != timestampLen {
		return at, string(value) == `null` // of an event without a time
	}
	// Parse takes more forms of the time, such as a comma before the fraction.
	for i, c := range []byte(`"____-__-__T__:__:__._________Z"`) {
		if c != '_' && value[i] != c {
			return at, false
		}
	}
	at, err := time.Parse(time.RFC3339Nano, string(value[1:timestampLen-1]))
	return at, err == nil && at.Year() >= 1970 && at.Year() <= maxYear
}

// maxYear is the last one whose nanoseconds since 1970 fit into an int64.
const maxYear = 2261

const timestampLen = len(`"2006-01-02T15:04:05.000000000Z"`)

// plainString returns the text of a JSON string that has no escapes.
func plainString(value []byte) (text []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return nil, false
	}
	return value[1 : len(value)-1], true
}

// CheckMembers reports whether b is one JSON object without white space outside its
// strings, in valid UTF-8, with at least one member, whose names need no escapes and
// differ, and whether f accepts each member. F is called in their order, and keeps
// nothing of what it is given.
func CheckMembers(b []byte, f func(name, value []byte) bool) bool {
	if len(b) == 0 || b[0] != '{' || !utf8.Valid(b) {
		return false
	}
	var seen [maxMembers][]byte
	at := 1
	for n := 0; n < maxMembers; n++ {
		end := skipString(b, at)
		if end < 0 || end == len(b) || b[end] != ':' {
			return false
		}
		name, ok := plainString(b[at:end])
		if !ok || slices.ContainsFunc(seen[:n], func(s []byte) bool { return bytes.Equal(s, name) }) {
			return false
		}
		seen[n] = name
		start := end + 1
		if at = skipValue(b, start, 1); at < 0 || at == len(b) || !f(name, b[start:at]) {
			return false
		}
		at++
		switch b[at-1] {
		case '}':
			return at == len(b)
		case ',':
		default:
			return false
		}
	}
	return false
}

// The skip functions return where what begins at b[at] ends, or -1 when it is not
// what they are named for.

func skipValue(b []byte, at, depth int) int {
	if at >= len(b) || depth > maxDepth {
		return -1
	}
	switch b[at] {
	case '"':
		return skipString(b, at)
	case '{':
		return skipList(b, at, depth, '}', skipMember)
	case '[':
		return skipList(b, at, depth, ']', skipValue)
	case 't':
		return skipWord(b, at, "true")
	case 'f':
		return skipWord(b, at, "false")
	case 'n':
		return skipWord(b, at, "null")
	}
	return skipNumber(b, at)
}

// skipList skips an object or an array.
func skipList(b []byte, at, depth int, end byte, item func(b []byte, at, depth int) int) int {
	if at++; at < len(b) && b[at] == end {
		return at + 1
	}
	for {
		if at = item(b, at, depth+1); at < 0 || at >= len(b) {
			return -1
		}
		at++
		switch b[at-1] {
		case end:
			return at
		case ',':
		default:
			return -1
		}
	}
}

func skipMember(b []byte, at, depth int) int {
	if at = skipString(b, at); at < 0 || at >= len(b) || b[at] != ':' {
		return -1
	}
	return skipValue(b, at+1, depth)
}

func skipWord(b []byte, at int, word string) int {
	if !bytes.HasPrefix(b[at:], []byte(word)) {
		return -1
	}
	return at + len(word)
}

const (
	lows  = 0x0101010101010101 // the lowest bit of each byte
	highs = 0x8080808080808080 // the highest
)

// special has the highest bit set of the first byte of w that ends a run of ordinary
// characters in a JSON string: a quote, a backslash, or a control character. Bytes
// after it may have it set wrongly, and bytes from 0x80 on never count.
func special(w uint64) uint64 {
	quote, slash := w^(lows*'"'), w^(lows*'\\')
	return ((w-lows*0x20)&^w | (quote-lows)&^quote | (slash-lows)&^slash) & highs
}

// skipString skips a string. That it is UTF-8 has been checked.
func skipString(b []byte, at int) int {
	if at >= len(b) || b[at] != '"' {
		return -1
	}
	for at++; at < len(b); {
		if at+8 <= len(b) && special(binary.LittleEndian.Uint64(b[at:])) == 0 {
			at += 8
			continue
		}
		switch c := b[at]; {
		case c == '"':
			return at + 1
		case c < ' ':
			return -1
		case c == '\\':
			if at = skipEscape(b, at); at < 0 {
				return -1
			}
		default:
			at++
		}
	}
	return -1
}

func skipEscape(b []byte, at int) int {
	if at+1 >= len(b) {
		return -1
	}
	switch b[at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at + 2
	case 'u':
		if at+6 > len(b) {
			return -1
		}
		for _, c := range b[at+2 : at+6] {
			if !isHexDigit(c) {
				return -1
			}
		}
		return at + 6
	}
	return -1
}

// skipNumber skips a number: RFC 8259 section 6.
func skipNumber(b []byte, at int) int {
	if at < len(b) && b[at] == '-' {
		at++
	}
	if at < len(b) && b[at] == '0' {
		at++
	} else if at = skipDigits(b, at); at < 0 {
		return -1
	}
	if at < len(b) && b[at] == '.' {
		if at = skipDigits(b, at+1); at < 0 {
			return -1
		}
	}
	if at < len(b) && b[at]|0x20 == 'e' {
		if at++; at < len(b) && (b[at] == '+' || b[at] == '-') {
			at++
		}
		return skipDigits(b, at)
	}
	return at
}

// skipDigits skips at least one digit.
func skipDigits(b []byte, at int) int {
	start := at
	for at < len(b) && '0' <= b[at] && b[at] <= '9' {
		at++
	}
	if at == start {
		return -1
	}
	return at
}

func isHexDigit(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}
