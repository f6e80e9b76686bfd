// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"unicode/utf8"
)

// ErrTooLarge is wrapped by errors about events that are larger than the log accepts.
var ErrTooLarge = errors.New("the event is too large for the log")

// Limits of what a publisher sends, in characters: Unicode code points, as in JSON
// Schema.
const (
	MaxNameLen        = 64   // ids of gateways and organizations, names of groups; ASCII
	MaxTypeLen        = 128  // an event's type; ASCII
	MaxCorrelationLen = 256  // a publisher's correlation id
	MaxKeyLen         = 256  // an event's key
	MaxReceiptLen     = 48   // an event's receipt, in bytes
	MaxGatewayIDs     = 1000 // gateways listed in one event; a group has no limit
)

// ValidName reports whether s is valid as the id of a gateway or organization, or the
// name of a group: [A-Za-z0-9_-]{1,64}.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxNameLen {
		return false
	}
	for i := range len(s) {
		if !isWord(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

// ValidType reports whether s is valid as an event type: words of letters, digits and
// underscores, joined by dots, beginning with a letter, at most 128 characters.
func ValidType(s string) bool {
	if len(s) > MaxTypeLen || s == "" || !isLetter(s[0]) {
		return false
	}
	for i := range len(s) {
		if !isWord(s[i]) && (s[i] != '.' || i+1 == len(s) || s[i+1] == '.') {
			return false
		}
	}
	return true
}

// ValidText reports whether s is UTF-8 with at most the given number of characters.
func ValidText(s string, max int) bool {
	return (len(s) <= max || utf8.RuneCountInString(s) <= max) && utf8.ValidString(s)
}

func isLetter(b byte) bool { return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' }

func isWord(b byte) bool { return isLetter(b) || '0' <= b && b <= '9' || b == '_' }
