// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatecast/gatecast/frame"
)

// maxReason bounds the text of an error that the server is told, in bytes.
const maxReason = 1024

// An eventAck is what the server is told of an event. An ack that says no more
// than that has its fields in this order, which the server reads fastest.
type eventAck struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Status string `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// AckEvent tells the server that the event with an id is applied.
func (c *Conn) AckEvent(id string) error {
	return c.send(eventAck{Type: "event.ack", ID: id})
}

// FailEvent tells the server that the event with an id could not be applied, and
// why.
func (c *Conn) FailEvent(id string, why error) error {
	return c.send(eventAck{Type: "event.ack", ID: id, Status: "failed", Error: clip(why.Error())})
}

// clip cuts a text to maxReason bytes of UTF-8.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxReason)], "") }

// A DeploymentAck tells the platform what became of a deployment. The server
// passes it on, and takes it for the answer to the event whose payload has the same
// deploymentId.
type DeploymentAck struct {
	DeploymentID string    `json:"deploymentId"`
	ArtifactID   string    `json:"artifactId,omitempty"`
	ResourceType string    `json:"resourceType,omitempty"`
	Action       string    `json:"action,omitempty"`
	Status       string    `json:"status,omitempty"` // "failed" for one that failed
	PerformedAt  time.Time `json:"performedAt,omitzero"`
	ErrorCode    string    `json:"errorCode,omitempty"`
}

// AckDeployment sends a DeploymentAck.
func (c *Conn) AckDeployment(d DeploymentAck) error {
	return c.send(struct {
		Type    string        `json:"type"`
		Payload DeploymentAck `json:"payload"`
	}{"deployment.ack", d})
}

// send sends a message.
func (c *Conn) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("client: a message cannot be written: %w", err)
	}
	if err := c.write(frame.OpText, b); err != nil {
		return fmt.Errorf("connection lost: %w", err)
	}
	return nil
}

// connKey is the key of the connection in a Handler's context.
type connKey struct{}

// ErrNoConnection says that a context is not one that [Run] gave to a Handler.
var ErrNoConnection = errors.New("client: the context has no connection: want the one that Run gave to Handler")

// AckDeployment sends a DeploymentAck on the connection of the event that a Handler
// of [Run] works on. ctx is the Handler's.
func AckDeployment(ctx context.Context, d DeploymentAck) error {
	c, ok := ctx.Value(connKey{}).(*Conn)
	if !ok {
		return ErrNoConnection
	}
	return c.AckDeployment(d)
}
