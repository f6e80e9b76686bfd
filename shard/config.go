// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"context"
	"log/slog"
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/internal/activity"
	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
)

// Config configures a router. A zero field takes the default named with it.
type Config struct {
	// Shards is the number of shards. It is constant for the life of the process.
	// Default 1.
	Shards int
	// Start is a position in the log. Every event after it is passed to
	// [Router.Preload] or [Router.Dispatch], in order.
	Start event.Cursor
	// Lineage maps the log's sequences to epochs, until [Router.SetLineage] changes it.
	// Default: all sequences are of Start's epoch.
	Lineage Lineage
	// PingInterval is how often a connection is pinged, whatever else is sent on it.
	// Default 20 s.
	PingInterval time.Duration
	// Timeout is how long a peer can be silent before its connection is closed. Default
	// 30 s.
	Timeout time.Duration
	// SendQueueBytes is the limit of unsent bytes of one connection. A connection at
	// the limit is closed as a slow consumer. Default 4 MiB.
	SendQueueBytes int
	// ReadMessages and ReadBytes limit what a peer sends per second; bursts can be ten
	// times as large. One message per event sent to the peer is free. Default: no
	// limit.
	ReadMessages, ReadBytes int
	// StallTimeout is how long a send queue can make no progress before its connection
	// is closed as a slow consumer. Default 10 s.
	StallTimeout time.Duration
	// CloseTimeout is how long the peer has to answer a close frame. Default 5 s.
	CloseTimeout time.Duration
	// ReplayMemory is the memory of all windows together, in bytes: the newest events,
	// for gateways that resume. Default 64 MiB.
	ReplayMemory int
	// Read reads events that are older than the windows. Default: there are none, and a
	// gateway with an older position gets resync.required.
	Read Reader
	// Logger logs errors of Read. Default: they are discarded.
	Logger *slog.Logger
	// Report receives, in batches, what was written to gateways and what they sent. It
	// is called on the loops and must not block. Default: reports are discarded.
	Report func(Report)
	// Notify receives connects, disconnects and failed deliveries. It is called on the
	// loops and must not block. Default: notices are discarded.
	Notify func(Notice)

	requestScan func() // wakes the scanner; set by the router
}

// readNothing is the Reader of a log without older events.
func readNothing(context.Context, uint64, func(event.Target, *Message) error) (uint64, error) {
	return math.MaxUint64, nil
}

// withDefaults returns the configuration with every zero field set.
func (c Config) withDefaults() Config {
	c.Shards = max(c.Shards, 1)
	setDefault(&c.PingInterval, 20*time.Second)
	setDefault(&c.Timeout, 30*time.Second)
	setDefault(&c.SendQueueBytes, 4<<20)
	setDefault(&c.StallTimeout, 10*time.Second)
	setDefault(&c.CloseTimeout, 5*time.Second)
	setDefault(&c.ReplayMemory, 64<<20)
	if c.Lineage == nil {
		c.Lineage = oneEpoch(c.Start.Epoch)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Read == nil {
		c.Read = readNothing
	}
	if c.Report == nil {
		c.Report = func(Report) {}
	}
	if c.requestScan == nil {
		c.requestScan = func() {}
	}
	if c.Notify == nil {
		c.Notify = func(Notice) {}
	}
	return c
}

// setDefault sets a field that is zero.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A Peer is the gateway that a connection belongs to.
type Peer struct {
	GatewayID string
	TokenID   string   // of its credential, for [Router.Kick]
	Groups    []string // names; not modified
	// OrganizationID is its organization; empty: none.
	OrganizationID string
	Barrier        Barrier
	// Live counts the gateway's connections. Its shard writes it; any goroutine can
	// read it.
	Live *atomic.Int32
	// Requests are the gateway's HTTP requests to this node, which count as signs of
	// life. Nil: there are none.
	Requests *activity.Requests
	// Revoked reports whether and why the peer must not be connected. It is called
	// once, when the connection is registered. A revocation makes it true first and
	// calls [Router.Kick] then, so that one of the two closes the connection.
	Revoked func() (event.CloseReason, bool)
}

// A Barrier is the position at which the events of a gateway begin, set when it was
// registered or joined a group or an organization. Events at or before it are never sent to the gateway,
// whatever position it resumes from and however late this node is. Each field is a
// sequence; 0 is no barrier. It is the same for all connections of a gateway that are
// open at one time.
type Barrier struct {
	Own uint64 // for events that name the gateway
	All uint64 // for events for all gateways
	// Organization is for events of Peer.OrganizationID. All applies if it is higher.
	Organization uint64
	// Groups are for events of groups, in the order of Peer.Groups. Nil: All applies to
	// each group.
	Groups []uint64
}

// lowest returns the sequence up to which no event is for the gateway.
func (b *Barrier) lowest() uint64 {
	low := min(b.Own, b.All)
	for _, seq := range b.Groups {
		low = min(low, seq)
	}
	return low
}

// highest returns the sequence after which no barrier hides an event.
func (b *Barrier) highest() uint64 {
	high := max(b.Own, b.All, b.Organization)
	for _, seq := range b.Groups {
		high = max(high, seq)
	}
	return high
}

// organization returns the barrier of Peer.OrganizationID.
func (b *Barrier) organization() uint64 { return max(b.All, b.Organization) }

// group returns the barrier of Peer.Groups[i].
func (b *Barrier) group(i int) uint64 {
	if b.Groups == nil {
		return b.All
	}
	return b.Groups[i]
}

// A Registration is a connection that was accepted and has no shard yet.
type Registration struct {
	Peer   Peer
	ID     uuid.UUID      // the connectionId of the ack
	Remote netip.AddrPort // for stats and notices
	// UpgradeResponse is the HTTP 101 response, or nil. It is sent in one write with
	// the ack.
	UpgradeResponse []byte
	// Resume is the position of the gateway. Nil: it gets what comes next.
	Resume *Resume
	// Open is called once, on the loop, unless Abandon is called.
	Open Opener
	// Abandon closes the connection when no shard takes it; then Open is not called.
	// Nil: there is nothing to close.
	Abandon func()
	// Counted is called once, when Peer.Live counts the connection, or when it never will.
	// It must not block. It can be nil.
	Counted func()
	// Closed is called once, when the descriptor is closed, or when Open failed or was
	// not called. It must not block: it is called on the loop, or after [Router.Stop] by
	// the goroutine that calls [Router.Register].
	Closed func()
}

func (r *Registration) counted() {
	if r.Counted != nil {
		r.Counted()
	}
}

// abandon closes a connection that was not opened.
func (r *Registration) abandon() {
	if r.Abandon != nil {
		r.Abandon()
	}
	r.counted()
	r.Closed()
}

// A NoticeKind is the kind of a notice.
type NoticeKind uint8

// The kinds of notices.
const (
	Connected      NoticeKind = iota
	Disconnected              // Disconnect is the reason
	DeliveryFailed            // Failure is the reason, Messages are the events
)

// A Notice is something that happened on a loop, for logs and journals. The receiver
// must not modify it: messages are shared.
type Notice struct {
	Kind         NoticeKind
	At           time.Time // by the wall clock
	GatewayID    string
	ConnectionID uuid.UUID // zero for a failed delivery to a gateway without connection
	Remote       netip.AddrPort

	// Of a disconnect.
	Disconnect event.CloseReason
	Detail     string        // what the peer did, or the socket's error; can be empty
	Duration   time.Duration // since the connection was registered
	EventsSent uint64

	// Of failed deliveries.
	Failure  event.FailureReason
	Messages []*Message // the events, in order
}
