// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// utf8BOM is a byte order mark in UTF-8, which some editors put before a text.
var byteOrderMark = []byte("\ufeff")

// TrimBOM returns a text without the byte order mark before it, if there is one.
func TrimBOM(text []byte) []byte { return bytes.TrimPrefix(text, byteOrderMark) }

// Unmark is Text for what need not be UTF-8 all over, as where comments are: it only
// takes the byte order mark off, and refuses UTF-16.
func Unmark(text []byte) ([]byte, error) {
	if text = TrimBOM(text); isWide(text) {
		return nil, errUTF16
	}
	return text, nil
}

// errUTF16 is about a text that Windows' editors and shells write.
var errUTF16 = errors.New("it is UTF-16 or UTF-32; want UTF-8")

// Text returns a text without the byte order mark before it, or an error if it is
// not UTF-8.
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

// wide reports whether text is of characters of two or four bytes: by its byte
// order mark, or by a NUL among the first bytes, which no text of ours has.
func isWide(text []byte) bool {
	return bytes.HasPrefix(text, []byte{0xfe, 0xff}) || bytes.HasPrefix(text, []byte{0xff, 0xfe}) ||
		bytes.IndexByte(text[:min(len(text), 4)], 0) >= 0
}
