// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

const (
	// maxMembers limits the members of an object that CheckMembers accepts.
	maxMembers = 64
	// maxDepth limits the nesting of a value. encoding/json has the same limit, so no
	// publisher gets a deeper value into the log.
	maxDepth = 10_000
)

// CheckMembers reports whether b is one JSON object without white space outside its
// strings, in valid UTF-8, with at least one member, whose names have no escapes and
// differ, and whether f accepts each member. It calls f in the order of the members; f
// keeps nothing of its arguments.
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

// The skip functions return where the value that begins at b[at] ends, or -1 if it is
// not of their kind.

// skipValue skips any value. depth is how many values enclose it.
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

// skipMember skips a name, a colon and a value.
func skipMember(b []byte, at, depth int) int {
	if at = skipString(b, at); at < 0 || at >= len(b) || b[at] != ':' {
		return -1
	}
	return skipValue(b, at+1, depth)
}

// skipWord skips a fixed text.
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

// special sets the highest bit of the first byte of w that ends a run of ordinary
// characters in a JSON string: a quote, a backslash or a control character. Later bytes
// can have it set wrongly; bytes from 0x80 on never have it set.
func special(w uint64) uint64 {
	quote, slash := w^(lows*'"'), w^(lows*'\\')
	return ((w-lows*0x20)&^w | (quote-lows)&^quote | (slash-lows)&^slash) & highs
}

// skipString skips a string. The caller has checked that it is UTF-8.
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

// skipEscape skips an escape of a string (RFC 8259 section 7).
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

// skipNumber skips a number (RFC 8259 section 6).
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
