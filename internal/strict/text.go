// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// byteOrderMark is U+FEFF in UTF-8. Some editors put it before a text.
var byteOrderMark = []byte("\ufeff")

// TrimBOM returns text without a byte order mark at its beginning.
func TrimBOM(text []byte) []byte { return bytes.TrimPrefix(text, byteOrderMark) }

// Unmark is Text for files that need not be valid UTF-8 throughout, for example
// in comments. It only removes the byte order mark, and refuses UTF-16 and
// UTF-32.
func Unmark(text []byte) ([]byte, error) {
	if text = TrimBOM(text); isWide(text) {
		return nil, errUTF16
	}
	return text, nil
}

// errUTF16 is about text as some editors and shells of Windows write it.
var errUTF16 = errors.New("it is UTF-16 or UTF-32; want UTF-8")

// Text returns text without a byte order mark at its beginning. It returns an
// error with the line number if the text is not UTF-8.
func Text(text []byte) ([]byte, error) {
	text, err := Unmark(text)
	if err != nil || utf8.Valid(text) {
		return text, err
	}
	line := 1
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			break
		}
		if r == '\n' {
			line++
		}
		text = text[n:]
	}
	return nil, fmt.Errorf("line %d is not valid UTF-8", line)
}

// isWide reports whether text is UTF-16 or UTF-32: it has their byte order
// mark, or a NUL among its first four bytes, which none of our texts has.
func isWide(text []byte) bool {
	return bytes.HasPrefix(text, []byte{0xfe, 0xff}) || bytes.HasPrefix(text, []byte{0xff, 0xfe}) ||
		bytes.IndexByte(text[:min(len(text), 4)], 0) >= 0
}
