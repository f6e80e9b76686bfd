// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
)

// What the node writes into the journals it reads, and nothing that cannot be handed
// to the platform.
func TestIsReport(t *testing.T) {
	id := event.Cursor{Epoch: 3, Seq: 4}
	failed := newFailed(time.Unix(1, 0), id, "a.b", "c<&>\u2028", "edge", event.NotConnected)
	said := inboundMessage{
		Type: "deployment.ack", GatewayID: "edge", ConnectionID: "c", Timestamp: "t", EventID: id.String(),
		Status: "failed", Error: "e", Payload: json.RawMessage(`{"id":"x","é":[1]}`),
	}
	for _, data := range [][]byte{marshal(&failed), marshal(&said)} {
		if !isReport(eventlog.Record{Name: "edge", Data: data}) {
			t.Errorf("%s is not read", data)
		}
		if isReport(eventlog.Record{Name: "other", Data: data}) {
			t.Errorf("%s is read as another gateway's", data)
		}
	}
	for _, data := range []string{
		"", "{}", "[]", "null", "1", "{", "hello", "\xff", `{"type":"x"`, `{"payload":1}`,
		`{"type":1}`, `{"id":"a-1","type":"x"}`, `{"type":"x","id":"a-1"}`, `{"type":"x","type":"y"}`,
		`{"type":"x","gatewayId":1}`, `{"type":"x","timestamp":{}}`, "{\"type\":\"x\",\"payload\":\"\xff\"}",
		`{"type":"x"} `, `{ "type":"x"}`, `{"type":"x","\u0069d":"a-1"}`, strings.Repeat("{", 100_000),
	} {
		if isReport(eventlog.Record{Name: "edge", Data: []byte(data)}) {
			t.Errorf("%.40q is read", data)
		}
	}
}

func FuzzIsReport(f *testing.F) {
	for _, seed := range []string{`{"type":"deployment.ack","gatewayId":"edge","timestamp":"t"}`, `{}`, ``, `{"id":"a"}`, `{"type":"","gatewayId":"edge"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !isReport(eventlog.Record{Name: "edge", Data: data}) {
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

func FuzzParsePageQuery(f *testing.F) {
	for _, seed := range []string{`{"limit":10}`, `{"limit":-1}`, `{"limit":1e9}`, `[]`, ``, `{"gatewayId":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if q, err := parsePageQuery(data); err == nil && (q.Limit < 0 || q.Limit > maxPageLimit) {
			t.Fatalf("%+v", q)
		}
	})
}
