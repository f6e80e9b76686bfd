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

// messages are the schemas of the messages of one direction, by message name.
type messages map[string]*jsonschema.Schema

var (
	fromServer  = sync.OnceValue(func() messages { return messagesOf("send") })
	fromGateway = sync.OnceValue(func() messages { return messagesOf("receive") })
)

// CheckServerFrame checks a frame of the server against the AsyncAPI document.
func CheckServerFrame(t T, text []byte) {
	t.Helper()
	if err := fromServer().check(text); err != nil {
		t.Errorf("server frame %.500s does not match asyncapi.yaml: %v", text, err)
	}
}

// CheckGatewayFrame checks a frame of a gateway against the AsyncAPI document.
func CheckGatewayFrame(t T, text []byte) {
	t.Helper()
	if err := fromGateway().check(text); err != nil {
		t.Errorf("gateway frame %.500s does not match asyncapi.yaml: %v", text, err)
	}
}

// CheckCloseCode checks that the AsyncAPI document has the code of a close
// frame of the server.
func CheckCloseCode(t T, code int) {
	t.Helper()
	if !closeCodes()[strconv.Itoa(code)] {
		t.Errorf("asyncapi.yaml has no close code %d", code)
	}
}

// closeCodes are the codes of x-close-codes.
var closeCodes = sync.OnceValue(func() map[string]bool {
	codes := map[string]bool{}
	for _, c := range at(at(at(asyncAPI(), "channels"), "connect"), "x-close-codes").([]any) {
		codes[at(c, "code").(json.Number).String()] = true
	}
	return codes
})

// check returns nil if the frame matches one of the messages, else why it
// matches none.
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

// messagesOf returns the messages of all operations with an action, "send" or
// "receive".
func messagesOf(action string) messages {
	doc := asyncAPI()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7) // the schemas of AsyncAPI extend it
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

// asyncAPI returns the document as encoding/json would decode it.
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

// at returns a member of an object, which must exist.
func at(object any, name string) any {
	v, ok := object.(map[string]any)[name]
	if !ok {
		panic("asyncapi.yaml: no " + name)
	}
	return v
}

// resolve returns what v refers to, or v if it is no reference.
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
