// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatecast/gatecast/internal/strict"
)

// Limits of an event's own envelope fields.
const (
	MaxFields      = 16      // fields of one event
	MaxFieldsBytes = 4 << 10 // of all of them, as JSON without white space
	MaxFieldName   = 64      // characters of a name
)

// ownNames are the names in frames that gatecast sends. An envelope field has none of
// them in any letter case, because some JSON libraries, such as encoding/json, ignore it.
var ownNames = []string{
	"id", "type", "payload", "gatewayId", "timestamp", "correlationId", "traceparent",
	"key", "cursor", "reason", "resumed", "connectionId",
}

// ownPrefix begins the names that later versions can use.
const ownPrefix = "gatecast"

// checkFields returns the envelope fields in the JSON text of a draft as one compact
// object, in the publisher's order; nil without any. An error is a [*FieldError] that
// names the field.
func checkFields(text []byte) (json.RawMessage, error) {
	if len(text) == 0 {
		return nil, nil
	}
	out := make([]byte, 0, min(len(text), MaxFieldsBytes))
	o := strict.Read(text)
	n := 0
	for ; o.Next(); n++ {
		name := string(o.Name())
		if problem := nameProblem(name); problem != "" {
			o.Fail(problem)
		}
		value := o.Raw()
		if n == MaxFields || o.Err() != nil {
			continue
		}
		// A valid name needs no escapes, so readers of the log need not resolve any.
		out = fmt.Appendf(append(out, ','), `"%s":`, name)
		if !o.Spaced() {
			out = append(out, value...)
			continue
		}
		var b bytes.Buffer
		if err := json.Compact(&b, value); err != nil {
			return nil, fieldError("fields."+name, "is not JSON: "+err.Error())
		}
		out = append(out, b.Bytes()...)
	}
	wrong, named := errors.AsType[*FieldError](o.Err())
	switch {
	case named:
		return nil, fieldError("fields."+wrong.Field, wrong.Problem)
	case o.Err() != nil:
		return nil, fieldError("fields", `want a JSON object, such as {"userId":"u1"}`)
	case n == 0:
		return nil, nil
	case n > MaxFields:
		return nil, fieldError("fields", fmt.Sprintf("has %d fields; want at most %d", n, MaxFields))
	case len(out)+len("}") > MaxFieldsBytes:
		return nil, fieldError("fields", fmt.Sprintf("has %d bytes of JSON; want at most %d", len(out)+len("}"), MaxFieldsBytes))
	}
	out[0] = '{'
	return append(out, '}'), nil
}

// nameProblem returns why an envelope field cannot have a name, or "".
func nameProblem(name string) string {
	switch {
	case name == "" || utf8.RuneCountInString(name) > MaxFieldName || strings.ContainsFunc(name, needsEscape):
		return fmt.Sprintf(`want a name of 1 to %d printable characters without " and \`, MaxFieldName)
	case len(name) >= len(ownPrefix) && strings.EqualFold(name[:len(ownPrefix)], ownPrefix):
		return "names that begin with " + ownPrefix + " are gatecast's; choose another one"
	}
	for _, own := range ownNames {
		if strings.EqualFold(name, own) {
			return "is a name of gatecast's own, in any letter case; choose another one"
		}
	}
	return ""
}

// needsEscape reports whether a character is not printable, or has an escape in JSON.
func needsEscape(r rune) bool { return r == '"' || r == '\\' || !unicode.IsPrint(r) }

// CutFields cuts the envelope fields out of a body made by [Event.AppendBody]. fields are
// the members of a JSON object without its braces, empty without any; before and after
// are the rest.
func CutFields(body []byte) (before, fields, after []byte) {
	at := bytes.Index(body, []byte(`,"payload":`)) // no type contains it
	if at < 0 {
		return body, nil, nil
	}
	start := skipValue(body, at+len(`,"payload":`), 1)
	if start < 0 {
		return body, nil, nil
	}
	end := skipFields(body, start)
	if end <= start {
		return body, nil, nil
	}
	return body[:start], body[start+len(`,`) : end], body[end:]
}

// skipFields skips the envelope fields in a body, up to gatecast's own field that
// follows them. It returns -1 for what is certainly not from AppendBody.
func skipFields(b []byte, at int) int {
	var seen [MaxFields][]byte
	for n := 0; ; n++ {
		if bytes.HasPrefix(b[at:], []byte(`,"timestamp":`)) || bytes.HasPrefix(b[at:], []byte(`,"gatewayId":`)) {
			return at
		}
		if n == MaxFields || at == len(b) || b[at] != ',' {
			return -1
		}
		end := skipString(b, at+1)
		if end < 0 || end == len(b) || b[end] != ':' {
			return -1
		}
		name, ok := plainString(b[at+1 : end])
		if !ok || isOwn(name) {
			return -1
		}
		for _, s := range seen[:n] {
			if bytes.Equal(s, name) {
				return -1
			}
		}
		seen[n] = name
		if at = skipValue(b, end+1, 1); at < 0 {
			return -1
		}
	}
}

// isOwn reports whether a name is one of ownNames.
func isOwn(name []byte) bool {
	for _, own := range ownNames {
		if string(name) == own {
			return true
		}
	}
	return false
}
