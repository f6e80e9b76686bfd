// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
)

// A Library keeps the connections of gateways and delivers to them.
type Library interface {
	// Serve accepts gateways on ln, over TLS unless cfg is nil. [Hub.Gateway] identifies a gateway.
	// Messages reach it from before it gets [Hub.Ack]; the load ensures that the ack comes first,
	// because it publishes nothing while gateways connect. Serve returns only if it cannot
	// continue.
	Serve(ln net.Listener, cfg *tls.Config, h *Hub) error
	// Send delivers a message to every connection of a gateway, SendAll to all connections. Only
	// one call of either runs at a time, and each connection gets the messages in the order of the
	// calls. The library owns the message.
	Send(gatewayID string, message []byte)
	SendAll(message []byte)
}

// A Hub has the gateways, and passes events to its library.
type Hub struct {
	// PingInterval is the interval of pings. A connection without data for Timeout is ended.
	PingInterval, Timeout time.Duration

	library Library

	mu     sync.RWMutex
	tokens map[string]string // gateway id by token

	publishing sync.Mutex   // held while the library sends an event
	last       event.Cursor // id of the newest event; guarded by publishing
}

// gatecast's defaults.
const (
	pingInterval = 20 * time.Second
	timeout      = 30 * time.Second
)

// New returns a hub for a library.
func New(l Library) *Hub {
	return &Hub{
		PingInterval: pingInterval, Timeout: timeout, library: l, tokens: make(map[string]string),
		last: event.Cursor{Epoch: uint64(time.Now().UnixMilli())},
	}
}

// Register creates a gateway and returns its id and token.
func (h *Hub) Register() (id, token string) {
	id, token = rand.Text(), rand.Text()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens[token] = id
	return id, token
}

// Gateway returns the id of the gateway with a token, which is in the api-key header.
func (h *Hub) Gateway(token string) (id string, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	id, ok = h.tokens[token]
	return id, ok
}

// Ack returns the first message of a connection.
func (h *Hub) Ack(gatewayID string) []byte {
	return fmt.Appendf(nil, `{"type":"connection.ack","gatewayId":%q,"connectionId":%q,"timestamp":%q}`,
		gatewayID, rand.Text(), time.Now().UTC().Format(time.RFC3339Nano))
}

// errNarrow is the error for targets that the hub does not support.
var errNarrow = errors.New("the hub has no groups and no lists: want one gatewayId, or all")

// publish passes an event to the library, encoded as by gatecast, and returns its id.
func (h *Hub) publish(text []byte) (id event.Cursor, err error) {
	d, err := event.ParseDraft(text)
	if err != nil {
		return id, err
	}
	e, err := d.Event(time.Now().UTC(), uuid.NewString)
	if err != nil {
		return id, err
	}
	gatewayID, single := e.Target.Single()
	if !single && !e.Target.All {
		return id, errNarrow
	}
	body := e.AppendBody(make([]byte, 0, len(e.Payload)+256))
	h.publishing.Lock()
	defer h.publishing.Unlock()
	h.last.Seq++
	message := event.AppendWithID(make([]byte, 0, len(body)+64), body, h.last)
	if single {
		h.library.Send(gatewayID, message)
	} else {
		h.library.SendAll(message)
	}
	return h.last, nil
}
