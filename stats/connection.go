// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"net/netip"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
)

// A Connection is what is told of one live connection.
type Connection struct {
	GatewayID     string
	ConnectionID  uuid.UUID
	ConnectedAt   time.Time
	LastHeartbeat time.Time // when anything was last heard from the peer
	Status        string    // connected or closing
	RemoteAddr    netip.AddrPort
	EventsSent    uint64
	QueuedBytes   int
	Cursor        event.Cursor // the last event written to it, else where it began
	Shard         int
}
