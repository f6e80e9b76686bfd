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

	// compact says that Payload is as ParseDraft read it: JSON in UTF-8 without
	// white space outside its strings.
	compact bool
}

// A FieldError says which field of a draft cannot stand, and what would.
type FieldError = strict.FieldError

func wrong(field, problem string) *FieldError { return &FieldError{Field: field, Problem: problem} }

// ErrSyntax is wrapped by errors of [ParseDraft] about text that is not one
// JSON object; anything else it returns is a [*FieldError].
var ErrSyntax = strict.ErrSyntax

// draftFields is what a publisher is told of the fields of a draft.
const draftFields = "is not a field of an event; want gatewayId, gatewayIds, group or all, and type, payload, correlationId, key, each once and in these letters"

// ParseDraft reads one draft from JSON and keeps nothing of b. It checks the
// shape, and that no receiver is an empty one; [Draft.Event] checks the values.
//
// The payload is the publisher's own: its names may repeat and its strings have
// any escapes, which are passed on as they are.
func ParseDraft(b []byte) (Draft, error) {
	var d Draft
	for o := strict.Read(b); ; {
		if !o.Next() {
			return d.unless(o.Err())
		}
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
		default:
			o.Fail(draftFields)
		}
	}
}

// unless returns the draft, or the error if there is one.
func (d Draft) unless(err error) (Draft, error) {
	if err != nil {
		return Draft{}, err
	}
	return d, nil
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
		return nil, wrong("type", "is missing; want a name such as api.deployed")
	case !ValidType(d.Type):
		return nil, wrong("type", fmt.Sprintf("want letters, digits and _ in words joined by dots, beginning with a letter, at most %d characters", MaxTypeLen))
	case !ValidText(d.CorrelationID, MaxCorrelationLen):
		return nil, wrong("correlationId", fmt.Sprintf("want at most %d characters of UTF-8", MaxCorrelationLen))
	case !ValidText(d.Key, MaxKeyLen):
		return nil, wrong("key", fmt.Sprintf("want at most %d characters of UTF-8", MaxKeyLen))
	case len(d.Key) > MaxKeyLen && longList(d.GatewayIDs):
		return nil, wrong("key", fmt.Sprintf("want at most %d bytes beside so many gatewayIds; name a group, or fewer at once", MaxKeyLen))
	case !d.compact && !utf8.Valid(d.Payload): // encoding/json lets it pass; RFC 6455 section 8.1 does not
		return nil, wrong("payload", "is not valid UTF-8")
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
			return nil, wrong("payload", "is not JSON: "+err.Error())
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
			return t, wrong("gatewayIds", fmt.Sprintf("has %d ids; want at most %d, or a group", len(d.GatewayIDs), MaxGatewayIDs))
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
		return Target{}, wrong("gatewayId", "name the receivers by exactly one of gatewayId, gatewayIds, group and all")
	}
	return t, nil
}

// wantName says what an id of a gateway or the name of a group is.
var wantName = fmt.Sprintf("want 1 to %d of letters, digits, _ and -", MaxNameLen)

func badName(field string) error { return wrong(field, wantName) }

// longList reports whether ids take so much of what the log keeps beside an event, 64
// KiB, that a key must not have more bytes than characters.
func longList(ids []string) bool {
	n := 0
	for _, id := range ids {
		n += len(id) + len(",")
	}
	return n > 62<<10
}
