// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/google/uuid"
)

// An Inbound is a message from a gateway that the node understands.
type Inbound struct {
	Kind         event.MessageKind
	GatewayID    string
	ConnectionID uuid.UUID
	At           time.Time

	// Event is the event of an event.ack. It is zero in a deployment.ack, whose payload
	// names a deployment.
	Event event.Cursor
	// Answers reports whether the status answers the event: it was applied, or, with
	// Failed, it could not be. Other statuses are for the platform to read.
	Answers, Failed bool
	// Status and Error are the gateway's texts. Error has at most maxError bytes.
	Status, Error string
	// DeploymentID, PerformedAt and Payload are of a deployment.ack.
	DeploymentID, PerformedAt string
	Payload                   json.RawMessage

	// Owner says whether Event was for the gateway, as far as the loop knows.
	Owner Ownership
	// Dispatched is the sequence up to which the gateway's shard had dispatched events
	// when the message arrived.
	Dispatched uint64
}

// An Ownership says whether an event was for a gateway.
type Ownership uint8

// Whether an event was for a gateway.
const (
	OwnerUnknown Ownership = iota // the event is before the window, or not dispatched yet
	OwnerYes
	OwnerNo
)

// ownership reports whether the event with an id was for a gateway. It searches the
// window only.
func (s *state) ownership(g *gateway, id event.Cursor) Ownership {
	if id.Seq <= s.window.after || id.Seq > s.appliedSeq {
		return OwnerUnknown
	}
	switch m := s.window.next(g, id.Seq-1); {
	case m == nil || m.Cursor.Seq != id.Seq:
		return OwnerNo
	case m.Cursor == id:
		return OwnerYes
	}
	return OwnerUnknown
}

// maxError is how many bytes of an error's text are kept.
const maxError = 1024

// Names of the members of messages, and of the payload of a deployment.ack.
var (
	inboundNames    = []string{"type", "id", "status", "error", "payload"}
	deploymentNames = []string{"deploymentId", "artifactId", "resourceType", "action", "status", "performedAt", "errorCode"}
)

// An inboundJSON is a gateway's message as it arrived.
type inboundJSON struct {
	kind, id, status, errorText string
	payload                     []byte // part of the message
}

// parseInbound reads a gateway's message; ok is false when it is not JSON. JSON that is
// no known message is UnknownMessage and ignored, so that gateways can be newer than
// the node. The same holds for a message that parsers could read in different ways: a
// name that is there twice, or in other letters. The result keeps nothing of text.
func parseInbound(text []byte) (m Inbound, ok bool) {
	unknown := Inbound{Kind: event.UnknownMessage}
	if c, ok := scanAck(text); ok {
		return Inbound{Kind: event.EventAck, Event: c, Answers: true}, true
	}
	j, err := readInbound(text)
	switch {
	case errors.Is(err, strict.ErrSyntax):
		return unknown, json.Valid(strict.TrimBOM(text))
	case err != nil:
		return unknown, true
	}
	switch j.kind {
	case event.EventAck.String():
		return eventAck(&j), true
	case event.DeploymentAck.String():
		return deploymentAck(&j), true
	}
	return unknown, true
}

// readInbound reads the members of a message. A status or an error that is null counts
// as absent.
func readInbound(text []byte) (j inboundJSON, err error) {
	o := strict.Read(text)
	o.Unique()
	for o.Next() {
		switch name := string(o.Name()); {
		case o.WrongCase(inboundNames...):
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

// ackBegins and ackEnds are before and after the id of an ack without other members,
// which nearly all acks are.
var (
	ackBegins = []byte(`{"type":"event.ack","id":"`)
	ackEnds   = []byte(`"}`)
)

// scanAck reads an ack of the usual form without a JSON parser.
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

// eventAck returns an event.ack.
func eventAck(j *inboundJSON) Inbound {
	c, err := event.ParseCursor(j.id)
	if err != nil { // not an id of ours
		return Inbound{Kind: event.UnknownMessage}
	}
	m := Inbound{Kind: event.EventAck, Event: c, Status: clip(j.status), Error: clip(j.errorText)}
	m.Answers, m.Failed = answer(j.status)
	return m
}

// deploymentAck returns a deployment.ack. The payload is kept as it is; the members
// that the node understands are read from it.
func deploymentAck(j *inboundJSON) Inbound {
	m := Inbound{Kind: event.DeploymentAck, Payload: bytes.Clone(j.payload)}
	var status, code string
	o := strict.Read(j.payload)
	for o.Next() {
		switch name := string(o.Name()); {
		case o.WrongCase(deploymentNames...):
			return Inbound{Kind: event.UnknownMessage}
		case o.Null():
		case name == "deploymentId":
			m.DeploymentID = o.String()
		case name == "status":
			status = o.String()
		case name == "performedAt" && o.IsString():
			m.PerformedAt = clip(o.Text())
		case name == "errorCode" && o.IsString():
			code = o.Text()
		case name == "errorCode": // a number, as some gateways send it
			code = string(o.Raw())
		}
	}
	if o.Err() != nil {
		// A payload of another shape is for the platform to understand.
		m.DeploymentID, m.PerformedAt, status, code = "", "", "", ""
	}
	m.Answers, m.Failed = answer(status)
	m.Status, m.Error = clip(status), clip(code)
	return m
}

// answer reports whether a status answers an event, and whether it says that the event
// failed. A message without a status says that it was applied.
func answer(status string) (answers, failed bool) {
	switch strings.ToLower(status) {
	case "", "success", "applied", "completed":
		return true, false
	case "failed", "failure", "error", "rejected":
		return true, true
	}
	return false, false
}

// clip cuts a text to maxError bytes, in memory of its own.
func clip(s string) string {
	if len(s) > maxError {
		s = strings.ToValidUTF8(s[:maxError], "")
	}
	return strings.Clone(s)
}
