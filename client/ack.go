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

	"github.com/gobwas/ws"
)

// maxErrorText bounds the error text in an event.ack, in bytes.
const maxErrorText = 1024

// An eventAck is the event.ack message. The order of its fields matters: the server has a fast
// path for {"type":…,"id":…}.
type eventAck struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Status string `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// AckEvent reports to the server that the event with this id was applied.
func (c *Conn) AckEvent(id string) error {
	return c.send(eventAck{Type: "event.ack", ID: id})
}

// FailEvent reports to the server that the event with this id could not be applied. The text of
// cause goes to the server, cut to 1 KiB.
func (c *Conn) FailEvent(id string, cause error) error {
	return c.send(eventAck{Type: "event.ack", ID: id, Status: "failed", Error: truncate(cause.Error(), maxErrorText)})
}

// truncate returns at most n bytes of s, as valid UTF-8.
func truncate(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }

// A DeploymentAck reports the result of a deployment to the platform. The server forwards it, and
// counts it as the answer to the event whose payload has the same deploymentId.
type DeploymentAck struct {
	DeploymentID string    `json:"deploymentId"`
	ArtifactID   string    `json:"artifactId,omitempty"`
	ResourceType string    `json:"resourceType,omitempty"`
	Action       string    `json:"action,omitempty"`
	Status       string    `json:"status,omitempty"` // "failed" for one that failed
	PerformedAt  time.Time `json:"performedAt,omitzero"`
	ErrorCode    string    `json:"errorCode,omitempty"`
}

// AckDeployment sends d on this connection.
func (c *Conn) AckDeployment(d DeploymentAck) error {
	return c.send(struct {
		Type    string        `json:"type"`
		Payload DeploymentAck `json:"payload"`
	}{"deployment.ack", d})
}

// send sends v as a JSON message.
func (c *Conn) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("client: cannot encode a message: %w", err)
	}
	if err := c.write(ws.OpText, b); err != nil {
		return fmt.Errorf("connection lost: %w", err)
	}
	return nil
}

// connKey is the context key of the connection that a Handler's event came on.
type connKey struct{}

// ErrNoConnection is the error of [AckDeployment] for a context that did not come from [Run].
var ErrNoConnection = errors.New("client: no connection in this context: pass the context that Run gave to Handler")

// AckDeployment sends d on the connection that the current event came on. Call it from a
// Handler of [Run], with the Handler's context.
func AckDeployment(ctx context.Context, d DeploymentAck) error {
	c, ok := ctx.Value(connKey{}).(*Conn)
	if !ok {
		return ErrNoConnection
	}
	return c.AckDeployment(d)
}
