// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"unicode/utf8"
)

// ErrTooLarge is wrapped by errors about an event that is larger than the log can take.
var ErrTooLarge = errors.New("the event is too large for the log")

// Limits on what a publisher may name, in characters: Unicode code points, as JSON
// Schema counts them.
const (
	MaxNameLen        = 64   // ids of gateways and organizations, names of groups; ASCII
	MaxTypeLen        = 128  // an event's type; ASCII
	MaxCorrelationLen = 256  // a publisher's correlation id
	MaxKeyLen         = 256  // an event's key
	MaxReceiptLen     = 48   // an event's receipt, in bytes
	MaxGatewayIDs     = 1000 // gateways named one by one in an event; a group has no limit
)

// ValidName reports whether s can be the id of a gateway or an organization, or
// the name of a group: [A-Za-z0-9_-]{1,64}.
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

// ValidType reports whether s can be an event's type: words of letters, digits
// and underscores with dots between them, the first beginning with a letter, in
// at most 128 characters.
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

// ValidText reports whether s is UTF-8 of at most so many characters.
func ValidText(s string, most int) bool {
	return (len(s) <= most || utf8.RuneCountInString(s) <= most) && utf8.ValidString(s)
}

func isLetter(b byte) bool { return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' }

func isWord(b byte) bool { return isLetter(b) || '0' <= b && b <= '9' || b == '_' }
