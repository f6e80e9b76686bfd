// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// A Draft is a publisher's request, as it stands in JSON.
type Draft struct {
	GatewayID     string          `json:"gatewayId,omitempty"`
	GatewayIDs    []string        `json:"gatewayIds,omitempty"`
	Group         string          `json:"group,omitempty"`
	All           bool            `json:"all,omitempty"`
	Type          string          `json:"type"`
	Payload       json.RawMessage `json:"payload,omitempty"`
	CorrelationID string          `json:"correlationId,omitempty"`
	Key           string          `json:"key,omitempty"`

	// compact says that Payload is as ParseDraft read it, and that it is JSON in
	// ASCII without white space.
	compact bool
}

// A FieldError says which field of a draft cannot stand, and what would.
type FieldError struct {
	Field   string
	Problem string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// ErrSyntax is wrapped by errors of [ParseDraft] about text that is not one
// JSON object; anything else it returns is a [*FieldError].
var ErrSyntax = errors.New("the body is not one JSON object")

// ParseDraft reads one draft from JSON and keeps nothing of b. It checks the
// shape; [Draft.Event] checks the values.
func ParseDraft(b []byte) (Draft, error) {
	if d, ok := scanDraft(b); ok {
		return d, nil
	}
	return decodeDraft(b)
}

// decodeDraft is ParseDraft by encoding/json.
func decodeDraft(b []byte) (Draft, error) {
	var d Draft
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return Draft{}, draftError(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Draft{}, fmt.Errorf("%w: something follows it", ErrSyntax)
	}
	return d, nil
}

// draftError turns what encoding/json says into words about the request.
func draftError(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if t.Field == "" {
			return fmt.Errorf("%w: it is a JSON %s", ErrSyntax, t.Value)
		}
		return &FieldError{t.Field, fmt.Sprintf("is a JSON %s; want %s", t.Value, jsonKind(t.Type.String()))}
	}
	// encoding/json has no type for this error.
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return &FieldError{strings.Trim(name, `"`), "is not a field of an event; want gatewayId, gatewayIds, group or all, and type, payload, correlationId, key"}
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it is empty", ErrSyntax)
	}
	return fmt.Errorf("%w: %v", ErrSyntax, err)
}

func jsonKind(goType string) string {
	switch goType {
	case "bool":
		return "true or false"
	case "[]string":
		return "an array of strings"
	default:
		return "a string"
	}
}

// Event checks the draft's values and makes the event of it. An error is a
// [*FieldError]. The correlation id is newID's when the publisher gave none.
func (d *Draft) Event(now time.Time, newID func() string) (*Event, error) {
	target, err := d.target()
	if err != nil {
		return nil, err
	}
	switch {
	case d.Type == "":
		return nil, &FieldError{"type", "is missing; want a name such as api.deployed"}
	case !ValidType(d.Type):
		return nil, &FieldError{"type", fmt.Sprintf("want letters, digits and _ in words joined by dots, beginning with a letter, at most %d characters", MaxTypeLen)}
	case len(d.CorrelationID) > MaxCorrelationLen || !utf8.ValidString(d.CorrelationID):
		return nil, &FieldError{"correlationId", fmt.Sprintf("want at most %d bytes of UTF-8", MaxCorrelationLen)}
	case len(d.Key) > MaxKeyLen || !utf8.ValidString(d.Key):
		return nil, &FieldError{"key", fmt.Sprintf("want at most %d bytes of UTF-8", MaxKeyLen)}
	case !d.compact && !utf8.Valid(d.Payload): // encoding/json lets it pass; RFC 6455 section 8.1 does not
		return nil, &FieldError{"payload", "is not valid UTF-8"}
	}
	e := &Event{
		Target: target, Type: d.Type, Timestamp: now,
		CorrelationID: d.CorrelationID, Key: d.Key,
	}
	if e.CorrelationID == "" {
		e.CorrelationID = newID()
	}
	switch {
	case d.compact:
		e.Payload = d.Payload
	case len(d.Payload) > 0:
		var compact bytes.Buffer
		if err := json.Compact(&compact, d.Payload); err != nil {
			return nil, &FieldError{"payload", "is not JSON: " + err.Error()}
		}
		e.Payload = compact.Bytes()
	}
	return e, nil
}

func (d *Draft) target() (Target, error) {
	var t Target
	named := 0
	if d.GatewayID != "" {
		named++
		if !ValidName(d.GatewayID) {
			return t, badName("gatewayId")
		}
		t.GatewayIDs = []string{d.GatewayID}
	}
	if len(d.GatewayIDs) > 0 {
		named++
		if len(d.GatewayIDs) > MaxGatewayIDs {
			return t, &FieldError{"gatewayIds", fmt.Sprintf("has %d ids; want at most %d, or a group", len(d.GatewayIDs), MaxGatewayIDs)}
		}
		seen := make(map[string]bool, len(d.GatewayIDs))
		for i, id := range d.GatewayIDs {
			if !ValidName(id) {
				return t, badName(fmt.Sprintf("gatewayIds[%d]", i))
			}
			if !seen[id] {
				seen[id] = true
				t.GatewayIDs = append(t.GatewayIDs, id)
			}
		}
	}
	if d.Group != "" {
		named++
		if !ValidName(d.Group) {
			return t, badName("group")
		}
		t.Group = d.Group
	}
	if d.All {
		named++
		t.All = true
	}
	if named != 1 {
		return Target{}, &FieldError{"gatewayId", "name the receivers by exactly one of gatewayId, gatewayIds, group and all"}
	}
	return t, nil
}

func badName(field string) error {
	return &FieldError{field, fmt.Sprintf("want 1 to %d of letters, digits, _ and -", MaxNameLen)}
}
