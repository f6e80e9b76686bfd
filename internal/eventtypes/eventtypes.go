// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package eventtypes checks the payloads of events by event type. A YAML file
// has the event types, each with the JSON Schema of its payloads. The file can
// be reloaded while the types are in use.
//
// What a check can cost is bounded (bounds.go, checker.go), because schemas and
// payloads come from different people, and a publisher must not be able to keep
// a node busy.
package eventtypes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Types are the event types of a file. Any goroutine may use them.
type Types struct {
	file    string              // constant
	strict  bool                // constant: refuse types that are not in the file
	schemas atomic.Pointer[set] // replaced by Load
}

// Open loads a file. With strict, event types that are not in the file are
// refused.
func Open(file string, strict bool) (*Types, error) {
	t := &Types{file: file, strict: strict}
	return t, t.Load()
}

// Load reloads the file. On an error the types that were loaded before stay in
// use.
func (t *Types) Load() error {
	text, err := os.ReadFile(t.file)
	if err != nil {
		return err
	}
	docs, err := parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", t.file, err)
	}
	for name := range docs {
		if !event.ValidType(name) {
			return fmt.Errorf("%s: %q is not a valid event type", t.file, name)
		}
	}
	schemas, err := newSet(docs)
	if err != nil {
		return fmt.Errorf("%s: %w", t.file, err)
	}
	t.schemas.Store(schemas)
	return nil
}

// english prints the validator's messages.
var english = message.NewPrinter(language.English)

// Check returns what is wrong with the payload of an event, or nil. The field
// of the error is the path inside the payload, as in payload/apiId. A payload
// of nil is checked as null.
func (t *Types) Check(eventType string, payload []byte) *event.FieldError {
	schemas := t.schemas.Load()
	_, known := schemas.docs[eventType]
	switch {
	case !known && t.strict:
		return &event.FieldError{Field: "type", Problem: eventType + " is not in the event types of this node (--event-types-strict)"}
	case !known:
		return nil
	case payload == nil:
		payload = []byte("null")
	}
	// If a name appeared twice, the validator would check one of the two
	// members, and a gateway might read the other.
	if err := strict.Check(payload); err != nil {
		return &event.FieldError{Field: "payload", Problem: err.Error()}
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return &event.FieldError{Field: "payload", Problem: err.Error()}
	}
	if wrong := checkBounds("payload", value); wrong != nil {
		return wrong
	}
	return schemas.check(eventType, value)
}

// validationProblem returns the validator's error as a [event.FieldError], or
// nil. Of nested causes it takes the first innermost, which is the most
// specific.
func validationProblem(err error) *event.FieldError {
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		for len(invalid.Causes) > 0 {
			invalid = invalid.Causes[0]
		}
		path := strings.Join(append([]string{"payload"}, invalid.InstanceLocation...), "/")
		return &event.FieldError{Field: path, Problem: invalid.ErrorKind.LocalizedString(english)}
	}
	if err != nil {
		return &event.FieldError{Field: "payload", Problem: err.Error()}
	}
	return nil
}
