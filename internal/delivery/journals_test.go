// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
)

// Records that a node writes are valid. Records that could not be handed to the platform
// are not.
func TestValidRecord(t *testing.T) {
	id := event.Cursor{Epoch: 3, Seq: 4}
	failed := newFailed(time.Unix(1, 0), id, event.Head{Type: "a.b", CorrelationID: "c<&>\u2028"}, "edge", event.NotConnected)
	sent := message{
		Type: "deployment.ack", GatewayID: "edge", ConnectionID: "c", Timestamp: "t", EventID: id.String(),
		Status: "failed", Error: "e", Payload: json.RawMessage(`{"id":"x","é":[1]}`),
	}
	for _, data := range [][]byte{marshal(&failed), marshal(&sent)} {
		if !validRecord(eventlog.Record{Name: "edge", Data: data}) {
			t.Errorf("%s is not valid", data)
		}
		if validRecord(eventlog.Record{Name: "other", Data: data}) {
			t.Errorf("%s is valid for another gateway", data)
		}
	}
	for _, data := range []string{
		"", "{}", "[]", "null", "1", "{", "hello", "\xff", `{"type":"x"`, `{"payload":1}`,
		`{"type":1}`, `{"id":"a-1","type":"x"}`, `{"type":"x","id":"a-1"}`, `{"type":"x","type":"y"}`,
		`{"type":"x","gatewayId":1}`, `{"type":"x","timestamp":{}}`, "{\"type\":\"x\",\"payload\":\"\xff\"}",
		`{"type":"x"} `, `{ "type":"x"}`, `{"type":"x","\u0069d":"a-1"}`, strings.Repeat("{", 100_000),
	} {
		if validRecord(eventlog.Record{Name: "edge", Data: []byte(data)}) {
			t.Errorf("%.40q is valid", data)
		}
	}
}

func FuzzValidRecord(f *testing.F) {
	for _, seed := range []string{`{"type":"deployment.ack","gatewayId":"edge","timestamp":"t"}`, `{}`, ``, `{"id":"a"}`, `{"type":"","gatewayId":"edge"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !validRecord(eventlog.Record{Name: "edge", Data: data}) {
			return
		}
		c := event.Cursor{Epoch: 1, Seq: 2}
		var m struct{ ID, Type string }
		text := event.AppendWithID(nil, data, c)
		if !json.Valid(text) {
			t.Fatalf("%q becomes %q", data, text)
		}
		if err := json.Unmarshal(text, &m); err == nil && !strings.Contains(string(text), `"`+c.String()+`"`) {
			t.Fatalf("%q has no id", text)
		}
	})
}
