// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// MaxHead bounds a request's line and fields, in bytes.
const MaxHead = 8 << 10

// An Error is why a request is refused, as its sender is told.
type Error struct {
	Status  int
	Message string
}

func (e *Error) Error() string { return e.Message }

func malformed(message string) *Error { return &Error{http.StatusBadRequest, message} }

// Errors that are answered differently by different servers.
var (
	ErrTooLong = &Error{http.StatusBadRequest, "request line and headers over 8 KiB"}
	ErrTimeout = &Error{http.StatusRequestTimeout, "the request did not arrive in time"}
	ErrNotHTTP = &Error{http.StatusBadRequest, "this is not an HTTP request"}
	ErrPlain   = &Error{http.StatusBadRequest, "plain HTTP was sent to a TLS port: use https or wss"}
)

// A Head is a request's line and fields, vetted. It is not changed once made.
type Head struct {
	Method string
	Target string   // as it was sent
	URL    *url.URL // Target, parsed
	Minor  int      // of the version, HTTP/1.Minor
	// Length is the length of the body in bytes, [Chunked] where chunks tell it.
	Length int64

	text   string
	fields []field
}

// Chunked is the Length of a body in chunks.
const Chunked = -1

type field struct{ name, value string }

// Text returns the head as it was sent, with the empty line that ends it.
func (h *Head) Text() string { return h.text }

// Values returns the values of a field, one for each line.
func (h *Head) Values(name string) (values []string) {
	for _, f := range h.fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

// List returns the elements of a field that is a comma-separated list, of all its
// lines and without the empty ones (RFC 9110, 5.6.1).
func (h *Head) List(name string) (elements []string) {
	for _, v := range h.Values(name) {
		for e := range strings.SplitSeq(v, ",") {
			if e = trim(e); e != "" {
				elements = append(elements, e)
			}
		}
	}
	return elements
}

// Lines calls f with each field line, as it was sent.
func (h *Head) Lines(f func(name, value string)) {
	for _, l := range h.fields {
		f(l.name, l.value)
	}
}

// HasBody reports whether a body follows the head.
func (h *Head) HasBody() bool { return h.Length != 0 }

// Parse vets a head, which ends with an empty line.
func Parse(text []byte) (*Head, *Error) {
	h := &Head{text: string(text)}
	line, rest, _ := strings.Cut(h.text, "\r\n")
	if err := h.parseLine(line); err != nil {
		return nil, err
	}
	h.fields = make([]field, 0, strings.Count(rest, "\r\n"))
	for {
		line, rest, _ = strings.Cut(rest, "\r\n")
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		// RFC 9112, 5.1 and 5.2: no space before the colon, and no folded line.
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return nil, malformed("a malformed header line")
		}
		if value = trim(value); !httpguts.ValidHeaderFieldValue(value) {
			return nil, malformed("a control character in a header")
		}
		h.fields = append(h.fields, field{name, value})
	}
	if rest != "" {
		return nil, malformed("an empty line among the headers")
	}
	if err := h.checkHost(); err != nil {
		return nil, err
	}
	for _, e := range h.List("expect") {
		if !strings.EqualFold(e, "100-continue") { // RFC 9110, 10.1.1
			return nil, &Error{http.StatusExpectationFailed, "Expect: want 100-continue, and nothing else"}
		}
	}
	return h, h.frame()
}

// parseLine parses the request line (RFC 9112, 3).
func (h *Head) parseLine(line string) *Error {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !httpguts.ValidHeaderFieldName(parts[0]) {
		return malformed("a malformed request line")
	}
	h.Method, h.Target = parts[0], parts[1]
	major, minor, ok := parseVersion(parts[2])
	switch {
	case !ok:
		return malformed("a malformed HTTP version")
	case h.Method == "PRI": // the preface of HTTP/2 (RFC 9113, 3.4)
		return malformed("want HTTP/1.1")
	case major != 1: // RFC 9110, 2.5 and 15.6.6
		return &Error{http.StatusHTTPVersionNotSupported, "want HTTP/1.1"}
	}
	h.Minor = minor
	return h.parseTarget()
}

// parseVersion parses HTTP-version: one digit, a dot, one digit (RFC 9112, 2.3).
func parseVersion(s string) (major, minor int, ok bool) {
	digits, ok := strings.CutPrefix(s, "HTTP/")
	if !ok || len(digits) != 3 || digits[1] != '.' || !isDigit(digits[0]) || !isDigit(digits[2]) {
		return 0, 0, false
	}
	return int(digits[0] - '0'), int(digits[2] - '0'), true
}

// parseTarget parses the request target (RFC 9112, 3.2).
func (h *Head) parseTarget() *Error {
	for i := range len(h.Target) {
		if h.Target[i] < '!' || h.Target[i] == 0x7f {
			return malformed("a control character in the request target")
		}
	}
	switch {
	case h.Method == http.MethodConnect:
		return &Error{http.StatusMethodNotAllowed, "this is no proxy for CONNECT"}
	case h.Target == "*":
		if h.Method != http.MethodOptions {
			return malformed("the request target * goes with OPTIONS only")
		}
	case strings.HasPrefix(h.Target, "/"), hasPrefixFold(h.Target, "http://"), hasPrefixFold(h.Target, "https://"):
	default:
		return malformed("a malformed request target")
	}
	u, err := url.ParseRequestURI(h.Target)
	if err != nil || u.Opaque != "" || h.Target[0] != '/' && h.Target != "*" && (u.Host == "" || u.User != nil) {
		return malformed("a malformed request target")
	}
	h.URL = u
	return nil
}

// checkHost holds the rules of the Host field (RFC 9112, 3.2).
func (h *Head) checkHost() *Error {
	hosts := h.Values("host")
	switch {
	case len(hosts) > 1:
		return malformed("more than one Host header")
	case len(hosts) == 0 && h.Minor >= 1:
		return malformed("no Host header")
	case len(hosts) == 1 && !validHost(hosts[0]):
		return malformed("a malformed Host header")
	}
	return nil
}

// validHost reports whether s is a host, with or without a port. Empty is none:
// a URI of http and https has a host (RFC 9110, 4.2.1).
func validHost(s string) bool {
	if s == "" || strings.ContainsAny(s, "/?#@\\") || !httpguts.ValidHostHeader(s) {
		return false
	}
	host, port, ok := cutPort(s)
	if !ok || host == "" {
		return false
	}
	for i := range len(port) {
		if !isDigit(port[i]) {
			return false
		}
	}
	return true
}

// cutPort splits a host from its port.
func cutPort(s string) (host, port string, ok bool) {
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", false
		}
		host, port = s[:end+1], s[end+1:]
		if port == "" {
			return host, "", true
		}
		port, ok = strings.CutPrefix(port, ":")
		return host, port, ok && !strings.ContainsAny(host[1:end], "[]")
	}
	host, port, _ = strings.Cut(s, ":")
	return host, port, !strings.ContainsAny(host, "[]")
}

// frame finds the length of the body (RFC 9112, 6). Of two ways to read one
// request neither is taken.
func (h *Head) frame() *Error {
	lengths, codings := h.Values("content-length"), h.Values("transfer-encoding")
	switch {
	case len(codings) > 0 && len(lengths) > 0:
		return malformed("both Content-Length and Transfer-Encoding")
	case len(codings) > 0 && h.Minor == 0: // 6.1: faulty framing
		return malformed("Transfer-Encoding in a request of HTTP/1.0")
	case len(codings) > 1 || len(codings) == 1 && !strings.EqualFold(codings[0], "chunked"):
		return malformed("Transfer-Encoding: want chunked, and nothing else")
	case len(codings) == 1:
		h.Length = Chunked
	case len(lengths) > 1:
		return malformed("more than one Content-Length")
	case len(lengths) == 1:
		n, ok := parseLength(lengths[0])
		if !ok {
			return malformed("a malformed Content-Length")
		}
		h.Length = n
	}
	return nil
}

// parseLength parses 1*DIGIT (RFC 9110, 8.6), which strconv alone does not: it
// takes a sign.
func parseLength(s string) (int64, bool) {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// trim removes optional white space (RFC 9110, 5.6.3).
func trim(s string) string { return strings.Trim(s, " \t") }

// A Scanner finds the end of a head in bytes that arrive in pieces. The zero
// Scanner is at the beginning.
type Scanner struct {
	checked int  // bytes that were looked at
	line    bool // the request line has ended
}

// End returns the length of the head that b begins with, 0 when it has not ended
// yet, and an error as soon as b cannot begin a request. b is all that has
// arrived, and longer at each call. Empty lines ahead of a request are the
// caller's to skip, with [EmptyLines].
func (s *Scanner) End(b []byte) (int, *Error) {
	for i := s.checked; i < len(b); i++ {
		switch c := b[i]; {
		case i == 0 && !httpguts.IsTokenRune(rune(c)):
			return 0, ErrNotHTTP
		case c == '\n' && (i == 0 || b[i-1] != '\r'), c != '\n' && i > 0 && b[i-1] == '\r':
			return 0, malformed("a line that does not end with CR LF")
		case c == '\n' && !s.line:
			s.line = true
			if err := new(Head).parseLine(string(b[:i-1])); err != nil {
				return 0, err
			}
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

// EmptyLines returns how many bytes of empty lines b begins with, which a server
// ignores ahead of a request (RFC 9112, 2.2).
func EmptyLines(b []byte) (n int) {
	for bytes.HasPrefix(b[n:], endOfHead[:2]) {
		n += 2
	}
	return n
}

// maxMethod is longer than any method there is.
const maxMethod = 32

// RequestLine reports whether b begins with what looks like a request line of any
// version, and whether it may do so once more has arrived.
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
