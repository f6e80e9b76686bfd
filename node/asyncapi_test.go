// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// frameSchemas are the schemas of what a gateway is sent, by the type of the frame;
// "" is an event's. They are those of the description that the node answers with.
var frameSchemas = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	text, err := os.ReadFile("../api/asyncapi.yaml")
	if err != nil {
		return nil, err
	}
	var doc any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("asyncapi.json", doc); err != nil {
		return nil, err
	}
	schemas := make(map[string]*jsonschema.Schema)
	for kind, name := range map[string]string{"connection.ack": "ConnectionAck", "resync.required": "ResyncRequired", "": "Event"} {
		if schemas[kind], err = c.Compile("asyncapi.json#/components/schemas/" + name); err != nil {
			return nil, err
		}
	}
	return schemas, nil
})

// described fails a test whose gateway was sent a frame that is not as described.
func described(t testing.TB, frame map[string]any) {
	t.Helper()
	schemas, err := frameSchemas()
	if err != nil {
		t.Fatal(err)
	}
	kind, _ := frame["type"].(string)
	schema := schemas[kind]
	if schema == nil {
		schema = schemas[""]
	}
	if err := schema.Validate(frame); err != nil {
		t.Errorf("%v is not as described: %v", frame, err)
	}
}

func TestFramesNotDescribed(t *testing.T) {
	schemas, err := frameSchemas()
	if err != nil {
		t.Fatal(err)
	}
	for name, frame := range map[string]map[string]any{
		"an ack with more":        {"type": "connection.ack", "more": 1},
		"a resync without reason": {"type": "resync.required", "cursor": "a-1"},
		"an event without an id":  {"type": "a", "payload": nil, "timestamp": "2027-01-31T10:00:00Z", "correlationId": "c"},
	} {
		schema := schemas[frame["type"].(string)]
		if schema == nil {
			schema = schemas[""]
		}
		if schema.Validate(frame) == nil {
			t.Errorf("%s is as described", name)
		}
	}
}
