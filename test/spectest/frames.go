// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package spectest

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/gatecast/gatecast/internal/spec"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// A direction is one way of the WebSocket: the schemas of what is sent on it, by the
// names of the messages.
type messages map[string]*jsonschema.Schema

var (
	fromServer  = sync.OnceValue(func() messages { return messagesOf("send") })
	fromGateway = sync.OnceValue(func() messages { return messagesOf("receive") })
)

// CheckServerFrame holds a frame of the server's to the AsyncAPI document.
func CheckServerFrame(t T, text []byte) {
	t.Helper()
	if err := fromServer().check(text); err != nil {
		t.Errorf("the server's frame %.500s is not as asyncapi.yaml says: %v", text, err)
	}
}

// CheckGatewayFrame holds a frame of a gateway's to the AsyncAPI document.
func CheckGatewayFrame(t T, text []byte) {
	t.Helper()
	if err := fromGateway().check(text); err != nil {
		t.Errorf("the gateway's frame %.500s is not as asyncapi.yaml says: %v", text, err)
	}
}

// CheckCloseCode holds the code of a close frame of the server's to the AsyncAPI
// document.
func CheckCloseCode(t T, code int) {
	t.Helper()
	if !closeCodes()[strconv.Itoa(code)] {
		t.Errorf("asyncapi.yaml has no close code %d", code)
	}
}

var closeCodes = sync.OnceValue(func() map[string]bool {
	codes := map[string]bool{}
	for _, c := range at(at(at(asyncAPI(), "channels"), "connect"), "x-close-codes").([]any) {
		codes[at(c, "code").(json.Number).String()] = true
	}
	return codes
})

// check returns nil when the frame is one of the messages.
func (d messages) check(text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	var all []error
	for _, schema := range d {
		err := schema.Validate(v)
		if err == nil {
			return nil
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// messagesOf returns the messages of the operations with an action.
func messagesOf(action string) messages {
	doc := asyncAPI()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7) // AsyncAPI's schemas are a superset of it
	c.AssertFormat()
	if err := c.AddResource("asyncapi.json", doc); err != nil {
		panic("asyncapi.yaml: " + err.Error())
	}
	d := messages{}
	for _, op := range at(doc, "operations").(map[string]any) {
		if at(op, "action") != action {
			continue
		}
		for _, message := range at(op, "messages").([]any) {
			message = resolve(doc, message)
			payload := at(at(message, "payload"), "$ref").(string)
			d[at(message, "name").(string)] = c.MustCompile("asyncapi.json" + payload)
		}
	}
	return d
}

// asyncAPI returns the document as JSON has it.
func asyncAPI() any {
	var doc any
	err := yaml.Unmarshal([]byte(spec.AsyncAPI), &doc)
	if err != nil {
		panic("asyncapi.yaml: " + err.Error())
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic("asyncapi.yaml: " + err.Error())
	}
	if doc, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		panic("asyncapi.yaml: " + err.Error())
	}
	return doc
}

// at returns a member of an object.
func at(object any, name string) any {
	v, ok := object.(map[string]any)[name]
	if !ok {
		panic("asyncapi.yaml: no " + name)
	}
	return v
}

// follow returns what v refers to, or v.
func resolve(doc, v any) any {
	for {
		ref, ok := v.(map[string]any)["$ref"].(string)
		if !ok {
			return v
		}
		v = doc
		for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			v = at(v, name)
		}
	}
}
