// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package eventtypes checks the payloads of events by their types: a YAML file names
// the types and has a JSON Schema for each. It can be loaded anew while it is used.
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

// Types are event types with the schemas of their payloads. Any goroutine may use
// them.
type Types struct {
	file    string
	strict  bool
	schemas atomic.Pointer[set]
}

// Open loads a file of types. With strict, a type that is not in it is none.
func Open(file string, strict bool) (*Types, error) {
	t := &Types{file: file, strict: strict}
	return t, t.Load()
}

// Load loads the file anew. When it cannot be used, what was loaded stays.
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
			return fmt.Errorf("%s: %q cannot be an event's type", t.file, name)
		}
	}
	schemas, err := newSet(docs)
	if err != nil {
		return fmt.Errorf("%s: %w", t.file, err)
	}
	t.schemas.Store(schemas)
	return nil
}

// english is what complaints are written in.
var english = message.NewPrinter(language.English)

// Check returns what is wrong with an event's payload, nil when nothing is. The field
// of the error is the place inside the payload, as in payload/apiId.
func (t *Types) Check(eventType string, payload []byte) *event.FieldError {
	schemas := t.schemas.Load()
	_, known := schemas.docs[eventType]
	switch {
	case !known && t.strict:
		return &event.FieldError{Field: "type", Problem: eventType + " is not among the event types of this node"}
	case !known:
		return nil
	case payload == nil:
		payload = []byte("null")
	}
	// The schema would see one of two members of a name, and the gateway the other.
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

// complaint returns what the validator says, nil for nothing.
func validationProblem(err error) *event.FieldError {
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		for len(invalid.Causes) > 0 { // the innermost says most
			invalid = invalid.Causes[0]
		}
		place := strings.Join(append([]string{"payload"}, invalid.InstanceLocation...), "/")
		return &event.FieldError{Field: place, Problem: invalid.ErrorKind.LocalizedString(english)}
	}
	if err != nil {
		return &event.FieldError{Field: "payload", Problem: err.Error()}
	}
	return nil
}
