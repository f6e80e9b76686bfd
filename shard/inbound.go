// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"gatecast/event"
	"gatecast/stats"

	"github.com/google/uuid"
)

// An Inbound is a message of a gateway's that means something.
type Inbound struct {
	Kind         stats.Inbound
	GatewayID    string
	ConnectionID uuid.UUID
	At           time.Time

	// Event is what an event.ack is of. In a deployment.ack it is zero: the
	// payload names a deployment.
	Event event.Cursor
	// Failed says that the gateway could not apply the event.
	Failed bool
	// Status and Error are as the gateway put them; Error has at most maxError
	// bytes.
	Status, Error string
	// DeploymentID and Payload are a deployment.ack's.
	DeploymentID string
	Payload      json.RawMessage
}

// maxError bounds what is kept of the text of an error, in bytes.
const maxError = 1024

// An inboundJSON is a gateway's message as it is written.
type inboundJSON struct {
	Type    string          `json:"type"`
	ID      string          `json:"id"`
	Status  string          `json:"status"`
	Error   string          `json:"error"`
	Payload json.RawMessage `json:"payload"`
}

// parseInbound reads a gateway's message; ok is false when it is not JSON. JSON
// that is no message of ours is unknown, and ignored, so that gateways may be
// newer than the node. It keeps nothing of the text.
func parseInbound(text []byte) (m Inbound, ok bool) {
	unknown := Inbound{Kind: stats.UnknownMessage}
	if c, ok := scanAck(text); ok {
		return Inbound{Kind: stats.EventAck, Event: c}, true
	}
	var j inboundJSON
	if err := json.Unmarshal(text, &j); err != nil {
		_, broken := err.(*json.SyntaxError)
		return unknown, !broken
	}
	switch j.Type {
	case stats.EventAck.String():
		return eventAck(&j), true
	case stats.DeploymentAck.String():
		return deploymentAck(&j), true
	}
	return unknown, true
}

// ackBegins and ackEnds are around the id of an ack that says nothing else, which
// is what nearly all say.
var (
	ackBegins = []byte(`{"type":"event.ack","id":"`)
	ackEnds   = []byte(`"}`)
)

// scanAck reads an ack of the usual form without encoding/json.
func scanAck(text []byte) (event.Cursor, bool) {
	rest, ok := bytes.CutPrefix(text, ackBegins)
	if !ok {
		return event.Cursor{}, false
	}
	if rest, ok = bytes.CutSuffix(rest, ackEnds); !ok {
		return event.Cursor{}, false
	}
	c, err := event.ParseCursor(string(rest))
	return c, err == nil
}

func eventAck(j *inboundJSON) Inbound {
	c, err := event.ParseCursor(j.ID)
	if err != nil { // of no event of ours
		return Inbound{Kind: stats.UnknownMessage}
	}
	return Inbound{
		Kind: stats.EventAck, Event: c,
		Failed: failure(j.Status), Status: clip(j.Status), Error: clip(j.Error),
	}
}

func deploymentAck(j *inboundJSON) Inbound {
	var p struct {
		DeploymentID string `json:"deploymentId"`
		Status       string `json:"status"`
		ErrorCode    string `json:"errorCode"`
	}
	// A payload of another shape is the platform's to understand.
	_ = json.Unmarshal(j.Payload, &p)
	return Inbound{
		Kind: stats.DeploymentAck, DeploymentID: p.DeploymentID, Payload: bytes.Clone(j.Payload),
		Failed: failure(p.Status), Status: clip(p.Status), Error: clip(p.ErrorCode),
	}
}

// failure reports whether a status says that something failed, in any of the
// words that gateways have for it.
func failure(status string) bool {
	switch strings.ToLower(status) {
	case "failed", "failure", "error", "rejected":
		return true
	}
	return false
}

// clip cuts a text to what is kept of it, and gives it memory of its own.
func clip(s string) string {
	if len(s) > maxError {
		s = strings.ToValidUTF8(s[:maxError], "")
	}
	return strings.Clone(s)
}
