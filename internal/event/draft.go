// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/gatecast/gatecast/internal/strict"
)

// A Draft is a publish request, as it is in JSON.
type Draft struct {
	GatewayID      string          `json:"gatewayId,omitempty"`
	GatewayIDs     []string        `json:"gatewayIds,omitempty"`
	Group          string          `json:"group,omitempty"`
	OrganizationID string          `json:"organizationId,omitempty"`
	All            bool            `json:"all,omitempty"`
	Type           string          `json:"type"`
	Payload        json.RawMessage `json:"payload,omitempty"`
	CorrelationID  string          `json:"correlationId,omitempty"`
	Key            string          `json:"key,omitempty"`
	Fields         json.RawMessage `json:"fields,omitempty"` // a JSON object

	// compact reports whether Payload comes from ParseDraft and is UTF-8 without white
	// space outside its strings.
	compact bool
}

// A FieldError says which field of a draft is invalid, and what is valid.
type FieldError = strict.FieldError

func fieldError(field, problem string) *FieldError {
	return &FieldError{Field: field, Problem: problem}
}

// ErrSyntax is wrapped by errors of [ParseDraft] about text that is not one JSON
// object. Its other errors are a [*FieldError].
var ErrSyntax = strict.ErrSyntax

// draftFields is the error for any other field.
const draftFields = "is not a field of an event; want gatewayId, gatewayIds, group, organizationId or all, and type, payload, correlationId, key, fields, each once and in these letters"

// ParseDraft parses one draft and keeps nothing of b. It checks the shape, and that no
// receiver is empty; [Draft.Event] checks the values.
//
// The payload is the publisher's: names can repeat and strings can have any escapes;
// they are passed on as they are.
func ParseDraft(b []byte) (Draft, error) {
	var d Draft
	o := strict.Read(b)
	for o.Next() {
		switch string(o.Name()) {
		case "gatewayId":
			if d.GatewayID = o.String(); d.GatewayID == "" {
				o.Fail(wantName)
			}
		case "gatewayIds":
			if d.GatewayIDs = o.Strings(); len(d.GatewayIDs) == 0 {
				o.Fail("is empty; want the id of at least one gateway")
			}
		case "group":
			if d.Group = o.String(); d.Group == "" {
				o.Fail(wantName)
			}
		case "organizationId":
			if d.OrganizationID = o.String(); d.OrganizationID == "" {
				o.Fail(wantName)
			}
		case "all":
			if d.All = o.Bool(); !d.All {
				o.Fail("want true, or leave it out")
			}
		case "type":
			d.Type = o.String()
		case "payload":
			d.Payload = bytes.Clone(o.Raw())
			d.compact = !o.Spaced()
		case "correlationId":
			d.CorrelationID = o.String()
		case "key":
			d.Key = o.String()
		case "fields":
			d.Fields = bytes.Clone(o.Raw())
		default:
			o.Fail(draftFields)
		}
	}
	if err := o.Err(); err != nil {
		return Draft{}, err
	}
	return d, nil
}

// Event checks the draft's values and returns its event. An error is a [*FieldError].
// newID makes a correlation id if the publisher gave none.
func (d *Draft) Event(now time.Time, newID func() string) (*Event, error) {
	target, err := d.target()
	if err != nil {
		return nil, err
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	payload, err := d.compactPayload()
	if err != nil {
		return nil, err
	}
	fields, err := checkFields(d.Fields)
	if err != nil {
		return nil, err
	}
	e := &Event{
		Target: target, Type: d.Type, Payload: payload, Fields: fields, Timestamp: now,
		CorrelationID: d.CorrelationID, Key: d.Key,
	}
	if e.CorrelationID == "" {
		e.CorrelationID = newID()
	}
	return e, nil
}

// check checks every value but the target.
func (d *Draft) check() error {
	switch {
	case d.Type == "":
		return fieldError("type", "is missing; want a name such as api.deployed")
	case !ValidType(d.Type):
		return fieldError("type", fmt.Sprintf("want letters, digits and _ in words joined by dots, beginning with a letter, at most %d characters", MaxTypeLen))
	case !ValidText(d.CorrelationID, MaxCorrelationLen):
		return fieldError("correlationId", fmt.Sprintf("want at most %d characters of UTF-8", MaxCorrelationLen))
	case !ValidText(d.Key, MaxKeyLen):
		return fieldError("key", fmt.Sprintf("want at most %d characters of UTF-8", MaxKeyLen))
	case len(d.Key) > MaxKeyLen && longList(d.GatewayIDs):
		return fieldError("key", fmt.Sprintf("want at most %d bytes beside so many gatewayIds; name a group, or fewer at once", MaxKeyLen))
	case !d.compact && !utf8.Valid(d.Payload): // encoding/json accepts it; RFC 6455 section 8.1 does not
		return fieldError("payload", "is not valid UTF-8")
	}
	return nil
}

// compactPayload returns the payload without white space, nil for none.
func (d *Draft) compactPayload() (json.RawMessage, error) {
	switch {
	case d.compact:
		return d.Payload, nil
	case len(d.Payload) == 0:
		return nil, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, d.Payload); err != nil {
		return nil, fieldError("payload", "is not JSON: "+err.Error())
	}
	return b.Bytes(), nil
}

// target checks and returns the receivers. Of ids that repeat the first is kept.
func (d *Draft) target() (Target, error) {
	var t Target
	named := 0
	if d.GatewayID != "" {
		named++
		if !ValidName(d.GatewayID) {
			return t, nameError("gatewayId")
		}
		t.GatewayIDs = []string{d.GatewayID}
	}
	if len(d.GatewayIDs) > 0 {
		named++
		if len(d.GatewayIDs) > MaxGatewayIDs {
			return t, fieldError("gatewayIds", fmt.Sprintf("has %d ids; want at most %d, or a group", len(d.GatewayIDs), MaxGatewayIDs))
		}
		seen := make(map[string]bool, len(d.GatewayIDs))
		for i, id := range d.GatewayIDs {
			if !ValidName(id) {
				return t, nameError(fmt.Sprintf("gatewayIds[%d]", i))
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
			return t, nameError("group")
		}
		t.Group = d.Group
	}
	if d.OrganizationID != "" {
		named++
		if !ValidName(d.OrganizationID) {
			return t, nameError("organizationId")
		}
		t.OrganizationID = d.OrganizationID
	}
	if d.All {
		named++
		t.All = true
	}
	if named != 1 {
		return Target{}, fieldError("gatewayId", "name the receivers by exactly one of gatewayId, gatewayIds, group, organizationId and all")
	}
	return t, nil
}

// wantName is the error for an invalid id of a gateway or organization, or name of a group.
var wantName = fmt.Sprintf("want 1 to %d of letters, digits, _ and -", MaxNameLen)

func nameError(field string) error { return fieldError(field, wantName) }

// longList reports whether the ids take so much of the 64 KiB that the log keeps beside
// an event that a key cannot have more bytes than characters.
func longList(ids []string) bool {
	n := 0
	for _, id := range ids {
		n += len(id) + len(",")
	}
	return n > 62<<10
}
