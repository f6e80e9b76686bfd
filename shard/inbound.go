// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"gatecast/event"
	"gatecast/internal/strict"
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

// Names of the members of messages, and of a deployment.ack's payload.
var (
	inboundNames    = []string{"type", "id", "status", "error", "payload"}
	deploymentNames = []string{"deploymentId", "artifactId", "resourceType", "action", "status", "performedAt", "errorCode"}
)

// An inboundJSON is a gateway's message as it is written.
type inboundJSON struct {
	kind, id, status, errorText string
	payload                     []byte // a part of the message
}

// parseInbound reads a gateway's message; ok is false when it is not JSON. JSON
// that is no message of ours is unknown, and ignored, so that gateways may be
// newer than the node: so is one that parsers could read in different ways, by a name
// that is there twice or in other letters. It keeps nothing of the text.
func parseInbound(text []byte) (m Inbound, ok bool) {
	unknown := Inbound{Kind: stats.UnknownMessage}
	if c, ok := scanAck(text); ok {
		return Inbound{Kind: stats.EventAck, Event: c}, true
	}
	j, err := readInbound(text)
	switch {
	case errors.Is(err, strict.ErrSyntax):
		return unknown, json.Valid(strict.TrimBOM(text))
	case err != nil:
		return unknown, true
	}
	switch j.kind {
	case stats.EventAck.String():
		return eventAck(&j), true
	case stats.DeploymentAck.String():
		return deploymentAck(&j), true
	}
	return unknown, true
}

// readInbound reads the members of a message. A status or an error that is null is
// as good as none.
func readInbound(text []byte) (j inboundJSON, err error) {
	o := strict.Read(text)
	o.Unique()
	for o.Next() {
		switch name := string(o.Name()); {
		case o.Misspelt(inboundNames...):
			o.Fail("is not spelt so")
		case name == "payload":
			j.payload = o.Raw()
		case name != "type" && o.Null():
		case name == "type":
			j.kind = o.String()
		case name == "id":
			j.id = o.String()
		case name == "status":
			j.status = o.String()
		case name == "error":
			j.errorText = o.Text()
		}
	}
	return j, o.Err()
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
	c, err := event.ParseCursor(j.id)
	if err != nil { // of no event of ours
		return Inbound{Kind: stats.UnknownMessage}
	}
	return Inbound{
		Kind: stats.EventAck, Event: c,
		Failed: failure(j.status), Status: clip(j.status), Error: clip(j.errorText),
	}
}

func deploymentAck(j *inboundJSON) Inbound {
	m := Inbound{Kind: stats.DeploymentAck, Payload: bytes.Clone(j.payload)}
	var status, code string
	o := strict.Read(j.payload)
	for o.Next() {
		switch name := string(o.Name()); {
		case o.Misspelt(deploymentNames...):
			return Inbound{Kind: stats.UnknownMessage}
		case o.Null():
		case name == "deploymentId":
			m.DeploymentID = o.String()
		case name == "status":
			status = o.String()
		case name == "errorCode" && o.IsString():
			code = o.Text()
		case name == "errorCode": // a number, as some have it
			code = string(o.Raw())
		}
	}
	if o.Err() != nil {
		// A payload of another shape is the platform's to understand.
		m.DeploymentID, status, code = "", "", ""
	}
	m.Failed, m.Status, m.Error = failure(status), clip(status), clip(code)
	return m
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
