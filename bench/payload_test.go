// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"pgregory.net/rapid"
)

// A draft has the requested size, and its receivers find its stamp.
func TestStampSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stamp{
			n:    rapid.Int64Min(0).Draw(t, "n"),
			sent: time.Duration(rapid.Int64Min(0).Draw(t, "sent")),
			to:   rapid.Int64Min(1).Draw(t, "to"),
		}
		g := gateway{ID: "edge", number: s.to}
		size := rapid.IntRange(0, 2000).Draw(t, "size")
		b := appendDraft([]byte("before"), g.audience(), s, size)[len("before"):]
		d, err := event.ParseDraft(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if d.GatewayID != g.ID || d.Type != eventType {
			t.Fatalf("draft %s", b)
		}
		if shortest := len(appendDraft(nil, g.audience(), s, 0)); len(b) != max(size, shortest) {
			t.Fatalf("%d bytes; want %d, or the %d it takes", len(b), size, shortest)
		}
		got, err := parseStamp(received(d.Payload))
		if err != nil || got != s {
			t.Fatalf("stamp %v, %v; want %v", got, err, s)
		}
	})
}

// received returns an event as a gateway receives it.
func received(payload json.RawMessage) []byte {
	return fmt.Appendf(nil, `{"id":"k3f9-7","type":%q,"payload":%s,"gatewayId":"g","timestamp":"t","correlationId":"c"}`, eventType, payload)
}

func TestParseStampRefuses(t *testing.T) {
	for name, message := range map[string]string{
		"nothing":      ``,
		"other type":   `{"type":"resync.required","reason":"r","cursor":"k3f9-7"}`,
		"no number":    `{"payload":{"n":,"sent":5,"to":1}}`,
		"no time":      `{"payload":{"n":5}}`,
		"no receiver":  `{"payload":{"n":5,"sent":5}}`,
		"cut short":    `{"payload":{"n":5,"sent":`,
		"another body": `{"payload":{"sent":5,"n":5}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := parseStamp([]byte(message)); err == nil {
				t.Errorf("parseStamp(%q) = %v; want an error", message, s)
			}
		})
	}
}
