// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/event"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// A message is read when encoding/json says that it is JSON. The short way to read an
// ack gives the same as the long one. What is kept is limited, and in memory of its
// own.
func FuzzInbound(f *testing.F) {
	for _, text := range []string{
		`{"type":"event.ack","id":"k3f9-1042"}`, `{"type":"event.ack","id":"k3f9-1042","status":"failed","error":"no"}`,
		`{"type":"event.ack","id":"k3f9-01"}`, `{"type":"event.ack","id":"a","id":"k-1"}`, `{"type":"event.ack","id":"k-1\u0031"}`,
		`{"type":"event.ack","id":"k3f9-1042"}}`, `{"TYPE":"event.ack","id":"k-1","type":7}`, `{"type":"event.ack","id":""}`,
		`{"type":"deployment.ack","payload":{"deploymentId":"d","status":"FAILED","errorCode":"E"}}`, `{"type":"deployment.ack"}`,
		`{"type":"deployment.ack","payload":[1,{"a":null}]}`, `{"type":"other"}`, `[]`, `null`, `"x"`, `1e999`, ``, `{`, "\xff", "{\"type\":\"\xff\"}",
		`{"type":"event.ack","id":"k-1","error":"` + strings.Repeat("ä", maxError) + `"}`,
		`{"type":"event.ack","id":"k-1","Status":"failed"}`, `{"type":"event.ack","id":"k-1","status":"failed","status":"applied"}`, `{"type":"event.ack","id":"k-1","stat\u0075s":"failed","status":"x"}`,
		`{"type":"event.ack","id":"k-1","ſtatus":"failed"}`, `{"type":"event.ack","id":"k-1","x":{"a":1,"\u0061":2}}`, `{"type":"event.ack","id":"k-1","error":"\ud800"}`, "\ufeff{\"type\":\"event.ack\",\"id\":\"k-1\"}", "\ufeff[]",
		`{"type":"deployment.ack","payload":{"deploymentId":"d","deploymentID":"e"}}`, `{"type":"deployment.ack","payload":{"deploymentId":"d","status":"failed","status":"success"}}`, `{"type":"deployment.ack","payload":{"deploymentId":"\ud800","errorCode":5}}`,
		strings.Repeat("[", 20000), `{"type":"event.ack","id":"zzzzzzzzzzzzzzzzzzzz-99999999999999999999"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, ok := parseInbound(text)
		if ok != json.Valid(bytes.TrimPrefix(text, []byte("\ufeff"))) {
			t.Fatalf("JSON %v, parsed %v", !ok, ok)
		}
		long, longOK := m, ok
		if len(text) > 0 && text[0] == '{' {
			long, longOK = parseInbound(append([]byte(" "), text...)) // no scanAck
		}
		if d := cmp.Diff(long, m); ok != longOK || d != "" {
			t.Errorf("the long way %v, the short way %v: %s", longOK, ok, d)
		}
		if !ok && m.Kind != event.UnknownMessage || len(m.Error) > maxError || len(m.Status) > maxError {
			t.Errorf("%v, %d and %d bytes kept", m.Kind, len(m.Error), len(m.Status))
		}
		if m.Kind == event.EventAck == (m.Event == event.Cursor{}) {
			t.Errorf("%v of %v", m.Kind, m.Event)
		}
		if len(m.Payload) > 0 && (m.Kind != event.DeploymentAck || !json.Valid(m.Payload)) {
			t.Errorf("%v has payload %q", m.Kind, m.Payload)
		}
		if m.Kind != event.UnknownMessage {
			sameInbound(t, text, &m)
		}
		clear(text)
		if d := cmp.Diff(long, m); d != "" {
			t.Errorf("it changes with the text: %s", d)
		}
	})
}

// answersAs reports whether a message counts as its status says.
func answersAs(m Inbound, status string) bool {
	answers, failed := answer(status)
	return m.Answers == answers && m.Failed == failed
}

// sameInbound checks that another strict parser reads from a message what we did.
func sameInbound(t *testing.T, text []byte, m *Inbound) {
	var j struct {
		Type    string         `json:"type"`
		ID      string         `json:"id"`
		Status  string         `json:"status"`
		Error   string         `json:"error"`
		Payload jsontext.Value `json:"payload"`
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	// Invalid UTF-8 is allowed in a text for people.
	if err := jsonv2.Unmarshal(text, &j, jsontext.AllowInvalidUTF8(true)); err != nil {
		t.Fatalf("%q is taken for %v, and is wrong: %v", text, m.Kind, err)
	}
	if j.Type != m.Kind.String() {
		t.Errorf("%q is taken for %v", text, m.Kind)
	}
	switch m.Kind {
	case event.EventAck:
		if j.ID != m.Event.String() || clip(j.Status) != m.Status || clip(j.Error) != m.Error || !answersAs(*m, j.Status) {
			t.Errorf("%q is read as %+v", text, m)
		}
	case event.DeploymentAck:
		var p struct {
			DeploymentID string `json:"deploymentId"`
			Status       string `json:"status"`
		}
		if err := jsonv2.Unmarshal(m.Payload, &p); err == nil && (p.DeploymentID != m.DeploymentID || clip(p.Status) != m.Status || !answersAs(*m, p.Status)) {
			t.Errorf("%q is read as %+v", text, m)
		}
		if len(j.Payload) > 0 && !bytes.Equal(j.Payload, m.Payload) {
			t.Errorf("the payload %q has become %q", j.Payload, m.Payload)
		}
	}
}

// A message that parsers could read in different ways is an unknown message.
func TestInboundIsExact(t *testing.T) {
	for _, c := range []struct {
		text string
		kind event.MessageKind
	}{
		{`{"type":"event.ack","id":"k-1","status":"failed"}`, event.EventAck},
		{`{"type":"event.ack","id":"k-1","status":null,"error":null}`, event.EventAck},
		{`{"type":"event.ack","id":"k-1","more":{"Status":1}}`, event.EventAck},
		{`{"type":"event.ack","id":"k-1","error":"cut \ud83d"}`, event.EventAck},
		{`{"type":"event.ack","i\u0064":"k-1"}`, event.EventAck},
		{"\ufeff" + `{"type":"event.ack","id":"k-1"}`, event.EventAck},
		{`{"type":"event.ack","id":"k-1","Status":"failed"}`, event.UnknownMessage},
		{`{"type":"event.ack","id":"k-1","ſtatus":"failed"}`, event.UnknownMessage},
		{`{"TYPE":"event.ack","id":"k-1"}`, event.UnknownMessage},
		{`{"type":"event.ack","type":"event.ack","id":"k-1"}`, event.UnknownMessage},
		{`{"type":"event.ack","id":"k-1","status":"failed","status":"applied"}`, event.UnknownMessage},
		{`{"type":"event.ack","id":"k-1","status":"failed","s\u0074atus":"applied"}`, event.UnknownMessage},
		{`{"type":"event.ack","id":"k-1","status":"\ud800"}`, event.UnknownMessage},
		{`{"type":"event.ack","id":"k-1","x":1,"x":2}`, event.UnknownMessage},
		{`{"type":"event.ack","id":"k-1","status":7}`, event.UnknownMessage},
		{`{"type":"deployment.ack","payload":{"deploymentId":"d","status":"failed","errorCode":7}}`, event.DeploymentAck},
		{`{"type":"deployment.ack","payload":{"deploymentId":"d","details":{"Status":"x"}}}`, event.DeploymentAck},
		{`{"type":"deployment.ack","payload":{"deploymentId":"d","Status":"failed"}}`, event.UnknownMessage},
		{`{"type":"deployment.ack","payload":{"deploymentid":"d","status":"failed"}}`, event.UnknownMessage},
		{`{"type":"deployment.ack","payload":{"deploymentId":"d","status":"failed","status":"success"}}`, event.UnknownMessage},
		{`{"type":"deployment.ack","payload":{"a":{"b":1,"b":2}}}`, event.UnknownMessage},
		{`{"type":"deployment.ack","payload":{},"Payload":{}}`, event.UnknownMessage},
	} {
		if m, ok := parseInbound([]byte(c.text)); m.Kind != c.kind || !ok {
			t.Errorf("%s is taken for %v (JSON: %v), want %v", c.text, m.Kind, ok, c.kind)
		}
	}
	m, _ := parseInbound([]byte(`{"type":"deployment.ack","payload":{"deploymentId":"d","status":"failed","errorCode":7}}`))
	if m.DeploymentID != "d" || !m.Failed || m.Error != "7" {
		t.Errorf("%+v", m)
	}
}
