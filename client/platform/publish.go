// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"
)

// An Event is an event to publish. It is for exactly one of GatewayID, GatewayIDs, Group,
// OrganizationID and All.
type Event struct {
	GatewayID  string   `json:"gatewayId,omitempty"`  // for one gateway
	GatewayIDs []string `json:"gatewayIds,omitempty"` // for several gateways, at most 1000
	Group      string   `json:"group,omitempty"`      // for the gateways of a group
	// OrganizationID is for all gateways of an organization.
	OrganizationID string `json:"organizationId,omitempty"`
	All            bool   `json:"all,omitempty"` // for every gateway

	Type string `json:"type"` // for example "api.deployed"
	// Payload is any value that [encoding/json] can encode. A [encoding/json.RawMessage] is sent
	// as it is, without the white space between its parts.
	Payload any `json:"payload,omitempty"`
	// Fields are further members of the event's envelope, beside the payload, for example userId.
	// At most 16, and 4 KiB. A value that [encoding/json] encodes as an object; a
	// [encoding/json.RawMessage] keeps the order of the members.
	Fields any `json:"fields,omitempty"`
	// CorrelationID is the publisher's own id of the event. Empty means a new UUID.
	CorrelationID string `json:"correlationId,omitempty"`
	// Key is for gateways that resume with replay=latest: a newer event with the same key
	// supersedes this one.
	Key string `json:"key,omitempty"`

	// IdempotencyKey makes a publish safe to repeat: within two minutes, [Client.Publish]
	// with the same key and the same event publishes once and returns the same receipt, also
	// from another process, if CorrelationID is set. Empty means a new random key for each call.
	// At most 128 bytes. PublishAll ignores it.
	IdempotencyKey string `json:"-"`
}

// A Receipt confirms that the log has an event.
type Receipt struct {
	ID            string    `json:"id"` // the event's position in the log
	CorrelationID string    `json:"correlationId"`
	Timestamp     time.Time `json:"timestamp"` // when the node accepted the event
	Targets       int       `json:"targets"`   // gateways that the event is for
	Connected     int       `json:"connected"` // of these, gateways that have a connection now
}

// Publish publishes an event and returns its receipt. It repeats the request, always with the
// same idempotency key, until it has the receipt. It ends early with the error if the node
// refuses the event, and when ctx ends; in the second case the log may have the event.
func (c *Client) Publish(ctx context.Context, e Event) (Receipt, error) {
	key := e.IdempotencyKey
	if key == "" {
		key = rand.Text()
	}
	if e.CorrelationID == "" { // the same for each attempt
		e.CorrelationID = newUUID()
	}
	body, err := encode(&e)
	if err != nil {
		return Receipt{}, err
	}
	var r Receipt
	err = c.retry(ctx, c.cfg.AttemptTimeout, func(ctx context.Context) error {
		header := http.Header{"Content-Type": {typeJSON}, "Idempotency-Key": {key}}
		resp, err := c.send(ctx, http.MethodPost, Root+"/events", header, bytes.NewReader(body))
		if err != nil {
			return err
		}
		return decode(resp, &r)
	})
	return r, err
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
