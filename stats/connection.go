// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"net/netip"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
)

// A Connection is the state of one open connection, as the stats route lists it.
type Connection struct {
	GatewayID     string
	ConnectionID  uuid.UUID
	ConnectedAt   time.Time
	LastHeartbeat time.Time // when the peer last sent a whole message or control frame, or made a request
	Status        string    // connected or closing
	RemoteAddr    netip.AddrPort
	EventsSent    uint64
	QueuedBytes   int
	Cursor        event.Cursor // the last event written, or the position at which the connection began
	Shard         int
}
