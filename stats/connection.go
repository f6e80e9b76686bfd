// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"net/netip"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
)

// A Connection is the state of one open connection, as GET /stats lists it. It is a
// copy: the connection goes on.
type Connection struct {
	GatewayID    string
	ConnectionID uuid.UUID // as in connection.ack
	ConnectedAt  time.Time
	// LastHeartbeat is when the peer last sent a whole message or control frame, or made
	// an HTTP request to this node.
	LastHeartbeat time.Time
	// Status is connected, or closing while the close frame waits for its answer.
	Status      string
	RemoteAddr  netip.AddrPort
	EventsSent  uint64 // events written to the socket
	QueuedBytes int    // bytes that the socket has not taken
	// Cursor is the id of the last event written, or the position at which the
	// connection began.
	Cursor event.Cursor
	Shard  int // number of the shard, from 0
}
