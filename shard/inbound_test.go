// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"encoding/json"
	"strings"
	"testing"

	"gatecast/event"
	"gatecast/stats"

	"github.com/google/go-cmp/cmp"
)

// A message is read when encoding/json says it is JSON, the short way to read an
// ack tells the same as the long one, and what is kept is bounded and the reader's own.
func FuzzInbound(f *testing.F) {
	for _, text := range []string{
		`{"type":"event.ack","id":"k3f9-1042"}`, `{"type":"event.ack","id":"k3f9-1042","status":"failed","error":"no"}`,
		`{"type":"event.ack","id":"k3f9-01"}`, `{"type":"event.ack","id":"a","id":"k-1"}`, `{"type":"event.ack","id":"k-1\u0031"}`,
		`{"type":"event.ack","id":"k3f9-1042"}}`, `{"TYPE":"event.ack","id":"k-1","type":7}`, `{"type":"event.ack","id":""}`,
		`{"type":"deployment.ack","payload":{"deploymentId":"d","status":"FAILED","errorCode":"E"}}`, `{"type":"deployment.ack"}`,
		`{"type":"deployment.ack","payload":[1,{"a":null}]}`, `{"type":"other"}`, `[]`, `null`, `"x"`, `1e999`, ``, `{`, "\xff", "{\"type\":\"\xff\"}",
		`{"type":"event.ack","id":"k-1","error":"` + strings.Repeat("ä", maxError) + `"}`,
		strings.Repeat("[", 20000), `{"type":"event.ack","id":"zzzzzzzzzzzzzzzzzzzz-99999999999999999999"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, ok := parseInbound(text)
		if ok != json.Valid(text) {
			t.Fatalf("JSON %v, parsed %v", !ok, ok)
		}
		long, longOK := parseInbound(append([]byte(" "), text...)) // no scanAck
		if d := cmp.Diff(long, m); ok != longOK || d != "" {
			t.Errorf("the long way %v, the short way %v: %s", longOK, ok, d)
		}
		if !ok && m.Kind != stats.UnknownMessage || len(m.Error) > maxError || len(m.Status) > maxError {
			t.Errorf("%v, %d and %d bytes kept", m.Kind, len(m.Error), len(m.Status))
		}
		if m.Kind == stats.EventAck == (m.Event == event.Cursor{}) {
			t.Errorf("%v of %v", m.Kind, m.Event)
		}
		if len(m.Payload) > 0 && (m.Kind != stats.DeploymentAck || !json.Valid(m.Payload)) {
			t.Errorf("%v has payload %q", m.Kind, m.Payload)
		}
		clear(text)
		if d := cmp.Diff(long, m); d != "" {
			t.Errorf("it changes with the text: %s", d)
		}
	})
}
