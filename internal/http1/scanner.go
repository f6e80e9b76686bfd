// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// A Scanner finds and checks a head in bytes that arrive in pieces. The zero
// Scanner starts at the first byte of a request.
type Scanner struct {
	checked     int  // bytes already checked
	line        int  // length of the request line without its CR LF; 0: not complete yet
	lineChecked bool // the request line was parsed before the head was complete
}

// Next returns the head at the start of b, or nil while b holds a part of one. It
// returns an error as soon as b cannot start a request. b is everything that has
// arrived, and longer in each call. The caller removes empty lines before a
// request, see [EmptyLines].
func (s *Scanner) Next(b []byte) (*Head, *Error) {
	end, bad := s.end(b)
	if end > 0 {
		return Parse(b[:end])
	}
	// Without the whole head the request line is parsed on its own, so that a client
	// of another protocol is refused at once.
	if s.line > 0 && !s.lineChecked {
		s.lineChecked = true
		if err := new(Head).parseLine(string(b[:s.line])); err != nil {
			return nil, err
		}
	}
	return nil, bad
}

// end returns the length of the head at the start of b, 0 while it is not complete. Each
// byte is looked at once, also when the head arrives a byte at a time. A line must end with
// CR LF: servers differ in what they accept besides that.
func (s *Scanner) end(b []byte) (int, *Error) {
	for i := s.checked; i < len(b); i++ {
		switch c := b[i]; {
		case i == 0 && !httpguts.IsTokenRune(rune(c)):
			return 0, ErrNotHTTP
		case c == '\n' && (i == 0 || b[i-1] != '\r'), c != '\n' && i > 0 && b[i-1] == '\r':
			return 0, malformed("a line that does not end with CR LF")
		case c == '\n' && s.line == 0:
			s.line = i - 1
		case c == '\n' && bytes.HasSuffix(b[:i+1], endOfHead):
			if i >= MaxHead {
				return 0, ErrTooLong
			}
			return i + 1, nil
		case c < ' ' && c != '\t' && c != '\r' && c != '\n', c == 0x7f:
			return 0, malformed("a control character in the request's head")
		}
		s.checked = i + 1
	}
	if len(b) >= MaxHead {
		return 0, ErrTooLong
	}
	return 0, nil
}

var endOfHead = []byte("\r\n\r\n")

// EmptyLines returns the number of bytes of empty lines at the start of b. A server
// ignores them before a request (RFC 9112 section 2.2).
func EmptyLines(b []byte) (n int) {
	for bytes.HasPrefix(b[n:], endOfHead[:2]) {
		n += 2
	}
	return n
}

// maxMethod is longer than any registered method.
const maxMethod = 32

// RequestLine reports whether b starts with what looks like a request line of any
// HTTP version. When it does not, more reports whether it can with more bytes.
func RequestLine(b []byte) (is, more bool) {
	line, _, whole := bytes.Cut(b, []byte("\n"))
	method, _, spaced := bytes.Cut(line, []byte(" "))
	if len(b) == 0 || len(method) > maxMethod || spaced && len(method) == 0 {
		return false, len(b) == 0
	}
	for _, c := range method {
		if !httpguts.IsTokenRune(rune(c)) && (c != '\r' || spaced) {
			return false, false
		}
	}
	if !whole {
		return false, len(b) < MaxHead
	}
	parts := strings.Split(strings.TrimSuffix(string(line), "\r"), " ")
	if len(parts) != 3 {
		return false, false
	}
	_, _, ok := parseVersion(parts[2])
	return ok, false
}
