// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Query holds the parameters of a query string by name. A nil Query has none.
type Query map[string]string

// Has reports whether the query has a parameter.
func (q Query) Has(name string) bool {
	_, ok := q[name]
	return ok
}

// ParseQuery parses a query string, the part of a URI after the question mark:
// percent-encoded names and values, separated by "&". Each name must be known
// and can appear once. Errors are [*FieldError] values with the name of the
// parameter.
func ParseQuery(raw string, known ...string) (Query, error) {
	q, unknown, err := parseQuery(raw, known)
	if err == nil && len(unknown) > 0 {
		return nil, &FieldError{unknown[0], "is not a parameter of this route" + acceptedNames(known)}
	}
	return q, err
}

// PickQuery is ParseQuery for URIs in which others have parameters of their
// own: unknown parameters are ignored, whatever they look like.
func PickQuery(raw string, known ...string) (Query, error) {
	q, _, err := parseQuery(raw, known)
	return q, err
}

// acceptedNames ends the message about an unknown parameter.
func acceptedNames(known []string) string {
	if len(known) == 0 {
		return "; it takes none"
	}
	return "; want " + strings.Join(known, ", ")
}

// parseQuery returns the known parameters, and the names of the others as they
// are written. A semicolon in a value is an error: some parsers take it for a
// separator.
func parseQuery(raw string, known []string) (q Query, unknown []string, err error) {
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		text, value, _ := strings.Cut(pair, "=")
		name, ok := decode(text)
		if !ok || !slices.Contains(known, name) {
			unknown = append(unknown, strings.ToValidUTF8(text, "\ufffd"))
			continue
		}
		if q.Has(name) {
			return nil, nil, &FieldError{name, "appears twice"}
		}
		if strings.Contains(value, ";") {
			return nil, nil, &FieldError{name, "has a semicolon; want & between parameters, or %3B"}
		}
		decoded, ok := decode(value)
		if !ok {
			return nil, nil, &FieldError{name, fmt.Sprintf("%q is not percent-encoded UTF-8", value)}
		}
		if q == nil {
			q = make(Query)
		}
		q[name] = decoded
	}
	return q, unknown, nil
}

// decode undoes percent-encoding. ok is false if it is malformed or the result
// is not UTF-8.
func decode(text string) (s string, ok bool) {
	s, err := url.QueryUnescape(text)
	return s, err == nil && utf8.ValidString(s)
}
