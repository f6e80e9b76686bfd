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

// A Query holds the parameters of a query string by their names. The nil Query has
// none.
type Query map[string]string

// Has reports whether there is a parameter.
func (q Query) Has(name string) bool {
	_, ok := q[name]
	return ok
}

// ParseQuery reads a query string, the part of a URI behind its question mark: names and values
// in percent-encoding with & between them. Each name must be known, and
// there once. An error is a [*FieldError] with the parameter's name.
func ParseQuery(raw string, known ...string) (Query, error) {
	q, strangers, err := parseQuery(raw, known)
	if err == nil && len(strangers) > 0 {
		return nil, &FieldError{strangers[0], "is not a parameter of this" + acceptedNames(known)}
	}
	return q, err
}

// PickQuery is ParseQuery where others may have parameters of their own: those that
// are not known are passed over, whatever they look like.
func PickQuery(raw string, known ...string) (Query, error) {
	q, _, err := parseQuery(raw, known)
	return q, err
}

func acceptedNames(known []string) string {
	if len(known) == 0 {
		return "; it takes none"
	}
	return "; want " + strings.Join(known, ", ")
}

// parseQuery returns the known parameters, and the names of others as they are written.
func parseQuery(raw string, known []string) (q Query, strangers []string, err error) {
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		text, value, _ := strings.Cut(pair, "=")
		name, ok := decode(text)
		if !ok || !slices.Contains(known, name) {
			strangers = append(strangers, strings.ToValidUTF8(text, "\ufffd"))
			continue
		}
		if q.Has(name) {
			return nil, nil, &FieldError{name, "is there twice"}
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
	return q, strangers, nil
}

// decode undoes percent-encoding; ok is false for a broken one, and for what is
// not UTF-8.
func decode(text string) (s string, ok bool) {
	s, err := url.QueryUnescape(text)
	return s, err == nil && utf8.ValidString(s)
}
