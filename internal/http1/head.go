// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// MaxHead is the maximum size of a request line with its header fields, in bytes.
const MaxHead = 8 << 10

// An Error says why a request is refused. Status is the status of the response,
// Message is for the client.
type Error struct {
	Status  int
	Message string
}

func (e *Error) Error() string { return e.Message }

// malformed is the error of a request that breaks the grammar.
func malformed(message string) *Error { return &Error{http.StatusBadRequest, message} }

// Errors that servers answer in different ways.
var (
	ErrTooLong = &Error{http.StatusBadRequest, "request line and headers over 8 KiB"}
	ErrTimeout = &Error{http.StatusRequestTimeout, "the request did not arrive in time"}
	ErrNotHTTP = &Error{http.StatusBadRequest, "this is not an HTTP request"}
	ErrPlain   = &Error{http.StatusBadRequest, "plain HTTP was sent to a TLS port: use https or wss"}
)

// A Head is a checked request line with its header fields. It is immutable, so
// goroutines can share it. Field names are compared without case.
type Head struct {
	Method string
	Target string   // as sent
	URL    *url.URL // Target, parsed
	Minor  int      // minor version: HTTP/1.Minor
	// Length is the length of the body in bytes, or [Chunked].
	Length int64

	text   string
	fields []field              // substrings of text
	few    [typicalFields]field // backs fields when they fit, to save an allocation
}

// typicalFields is more than the publishes of a platform have.
const typicalFields = 12

// Chunked is the Length of a body in the chunked transfer coding.
const Chunked = -1

// A field is one header line.
type field struct{ name, value string }

// Text returns the head as sent, with the empty line that ends it.
func (h *Head) Text() string { return h.text }

// Value returns the value of the first line of a field, and the number of its
// lines. Without a line the value is empty.
func (h *Head) Value(name string) (value string, lines int) {
	for i := range h.fields {
		if f := &h.fields[i]; strings.EqualFold(f.name, name) {
			if lines == 0 {
				value = f.value
			}
			lines++
		}
	}
	return value, lines
}

// Values returns the values of a field, one for each line.
func (h *Head) Values(name string) (values []string) {
	for i := range h.fields {
		if f := &h.fields[i]; strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

// List returns the elements of a field that is a comma-separated list: of all
// its lines, without empty elements (RFC 9110 section 5.6.1).
func (h *Head) List(name string) (elements []string) {
	for i := range h.fields {
		if f := &h.fields[i]; strings.EqualFold(f.name, name) {
			for e := range strings.SplitSeq(f.value, ",") {
				if e = trim(e); e != "" {
					elements = append(elements, e)
				}
			}
		}
	}
	return elements
}

// HasBody reports whether a body follows the head.
func (h *Head) HasBody() bool { return h.Length != 0 }

// Parse checks a complete head. text ends with the empty line that ends a head.
func Parse(text []byte) (*Head, *Error) {
	h := &Head{text: string(text)}
	line, rest, _ := strings.Cut(h.text, "\r\n")
	if err := h.parseLine(line); err != nil {
		return nil, err
	}
	if err := h.parseFields(rest); err != nil {
		return nil, err
	}
	if err := h.checkHost(); err != nil {
		return nil, err
	}
	if err := h.checkExpect(); err != nil {
		return nil, err
	}
	if err := h.frame(); err != nil {
		return nil, err
	}
	return h, nil
}

// parseFields parses the lines after the request line (RFC 9112 section 5). Names and
// values are substrings of h.text, so a field costs no allocation.
func (h *Head) parseFields(rest string) *Error {
	h.fields = h.few[:0]
	var line string
	for {
		line, rest, _ = strings.Cut(rest, "\r\n")
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		// RFC 9112 sections 5.1 and 5.2: no space before the colon, no folded line.
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return malformed("a malformed header line")
		}
		if value = trim(value); !httpguts.ValidHeaderFieldValue(value) {
			return malformed("a control character in a header")
		}
		h.fields = append(h.fields, field{name, value})
	}
	if rest != "" {
		return malformed("an empty line among the headers")
	}
	return nil
}

// parseLine parses the request line (RFC 9112 section 3).
func (h *Head) parseLine(line string) *Error {
	method, rest, _ := strings.Cut(line, " ")
	target, version, ok := strings.Cut(rest, " ")
	if !ok || !httpguts.ValidHeaderFieldName(method) || strings.Contains(version, " ") {
		return malformed("a malformed request line")
	}
	h.Method, h.Target = method, target
	major, minor, ok := parseVersion(version)
	switch {
	case !ok:
		return malformed("a malformed HTTP version")
	case h.Method == "PRI": // the preface of HTTP/2 (RFC 9113 section 3.4)
		return malformed("want HTTP/1.1")
	case major != 1: // RFC 9110 sections 2.5 and 15.6.6
		return &Error{http.StatusHTTPVersionNotSupported, "want HTTP/1.1"}
	}
	h.Minor = minor
	return h.parseTarget()
}

// parseVersion parses HTTP-version: one digit, a dot, one digit (RFC 9112 section 2.3).
func parseVersion(s string) (major, minor int, ok bool) {
	digits, ok := strings.CutPrefix(s, "HTTP/")
	if !ok || len(digits) != 3 || digits[1] != '.' || !isDigit(digits[0]) || !isDigit(digits[2]) {
		return 0, 0, false
	}
	return int(digits[0] - '0'), int(digits[2] - '0'), true
}

// parseTarget parses the request target (RFC 9112 section 3.2). It accepts the origin form,
// the absolute form of http and https, and * with OPTIONS. The authority form is for
// proxies.
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

// checkHost checks the Host field (RFC 9112 section 3.2). Two Host fields, or a malformed
// one, can route a request differently in a proxy and in the server.
func (h *Head) checkHost() *Error {
	switch host, lines := h.Value("host"); {
	case lines > 1:
		return malformed("more than one Host header")
	case lines == 0 && h.Minor >= 1:
		return malformed("no Host header")
	case lines == 1 && !validHost(host):
		return malformed("a malformed Host header")
	}
	return nil
}

// validHost reports whether s is a host, with or without a port. An empty host is
// not valid: a URI of http and https has one (RFC 9110 section 4.2.1).
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

// cutPort splits a host from its port. Brackets are for IPv6 addresses only.
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

// checkExpect checks the Expect field. 100-continue is the only expectation that
// RFC 9110 section 10.1.1 defines.
func (h *Head) checkExpect() *Error {
	for _, e := range h.List("expect") {
		if !strings.EqualFold(e, "100-continue") {
			return &Error{http.StatusExpectationFailed, "Expect: want 100-continue, and nothing else"}
		}
	}
	return nil
}

// frame finds the length of the body (RFC 9112 section 6). A request whose length
// can be read in two ways is refused: that is what request smuggling needs.
func (h *Head) frame() *Error {
	length, lengths := h.Value("content-length")
	coding, codings := h.Value("transfer-encoding")
	switch {
	case codings > 0 && lengths > 0:
		return malformed("both Content-Length and Transfer-Encoding")
	case codings > 0 && h.Minor == 0: // section 6.1: faulty framing
		return malformed("Transfer-Encoding in a request of HTTP/1.0")
	case codings > 1 || codings == 1 && !strings.EqualFold(coding, "chunked"):
		return malformed("Transfer-Encoding: want chunked, and nothing else")
	case codings == 1:
		h.Length = Chunked
	case lengths > 1:
		return malformed("more than one Content-Length")
	case lengths == 1:
		n, ok := parseLength(length)
		if !ok {
			return malformed("a malformed Content-Length")
		}
		h.Length = n
	}
	return nil
}

// parseLength parses 1*DIGIT (RFC 9110 section 8.6). strconv alone also accepts a
// sign.
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

// hasPrefixFold reports whether s starts with prefix, without case.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// trim removes optional white space (RFC 9110 section 5.6.3).
func trim(s string) string { return strings.Trim(s, " \t") }
