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

// Config says how a router's shards behave. Zero fields take the default named
// with them.
type Config struct {
	// Shards is how many there are, for the life of the process. Default 1.
	Shards int
	// Start is a place in the log: everything behind it is remembered or
	// dispatched, in order.
	Start event.Cursor
	// Lineage names the sequences of the log, until [Router.SetLineage] is told another one.
	// Default: all are of Start's epoch.
	Lineage Lineage
	// PingInterval is how often a connection is asked for a sign of life,
	// whatever else flows on it. Default 20 s.
	PingInterval time.Duration
	// Timeout is the silence after which a connection is dead. Default 30 s.
	Timeout time.Duration
	// SendQueueBytes is how much may wait for one connection. At the bound the
	// connection is a slow consumer. Default 4 MiB.
	SendQueueBytes int
	// ReadMessages and ReadBytes bound what a peer sends, in a second; ten seconds'
	// worth may come at once. An answer to each event is not counted as a message.
	// Default: no bound.
	ReadMessages, ReadBytes int
	// StallTimeout is how long a send queue may stand still. Default 10 s.
	StallTimeout time.Duration
	// CloseTimeout is how long a goodbye may stay unanswered. Default 5 s.
	CloseTimeout time.Duration
	// ReplayMemory bounds what the shards together hold of the newest events, for
	// gateways that resume, in bytes. Default 64 MiB.
	ReplayMemory int
	// Read reads events that are no longer held. Default: there are none, and a
	// gateway whose place is older is told to resync.
	Read Reader
	// Logger is told when Read fails. Default: nobody is.
	Logger *slog.Logger
	// Report is told what gateways have received and said, in batches. It is called
	// on the loops: it must not block. Default: nobody is told.
	Report func(Report)
	// Notify is told of connections and failed deliveries. It is called on the
	// loops: it must not block. Default: nobody is told.
	Notify func(Notice)

	requestScan func() // wakes the scanner; the router's
}

// readNothing is the Reader of a log that keeps nothing.
func readNothing(context.Context, uint64, func(event.Target, *Message) error) (uint64, error) {
	return math.MaxUint64, nil
}

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

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A Peer is who a connection belongs to.
type Peer struct {
	GatewayID string
	TokenID   string
	Groups    []string // not changed
	Barrier   Barrier
	// Live counts the gateway's connections. Its shard writes it; anyone may
	// read it.
	Live *atomic.Int32
	// Requests are the peer's requests to this node, which are signs of life. Nil:
	// it makes none.
	Requests *activity.Requests
	// Revoked reports whether, and why, the peer may not be connected any more.
	// It is asked once, when the connection is registered: whoever revokes makes
	// it true first and then calls [Router.Kick], so one of the two is seen.
	Revoked func() (event.CloseReason, bool)
}

// A Barrier says where the events of a gateway begin: those at a sequence or before
// it are not sent to it, whatever position it names and however late this node is.
// Zero is no barrier. It is the same for all connections of a gateway that are there at
// one time.
type Barrier struct {
	Own uint64 // for events that name the gateway
	All uint64 // for events for all
	// Groups is for events of groups, in the order of Peer.Groups; nil: All is the
	// barrier of each.
	Groups []uint64
}

// lowest returns the sequence up to which no event is the gateway's.
func (b *Barrier) lowest() uint64 {
	low := min(b.Own, b.All)
	for _, seq := range b.Groups {
		low = min(low, seq)
	}
	return low
}

// highest returns the sequence behind which every event for it is the gateway's.
func (b *Barrier) highest() uint64 {
	high := max(b.Own, b.All)
	for _, seq := range b.Groups {
		high = max(high, seq)
	}
	return high
}

// group returns the barrier of the group with an index in Peer.Groups.
func (b *Barrier) group(i int) uint64 {
	if b.Groups == nil {
		return b.All
	}
	return b.Groups[i]
}

// A Registration is a connection that may begin.
type Registration struct {
	Peer   Peer
	ID     uuid.UUID
	Remote netip.AddrPort
	// Greeting is sent ahead of everything: the answer to the upgrade request.
	// It goes out with the ack, in one write.
	Greeting []byte
	// Resume says where the gateway was; nil begins with what comes next.
	Resume *Resume
	Open   Opener
	// Abandon closes the connection in place of Open, when no shard takes it any
	// more. Nil: there is nothing to close.
	Abandon func()
	// Closed is called once, when the connection and its descriptor are gone,
	// or never came to be. It is called on the loop: it must not block.
	Closed func()
}

// abandon gives up a connection that was not opened.
func (r *Registration) abandon() {
	if r.Abandon != nil {
		r.Abandon()
	}
	r.Closed()
}

// A NoticeKind says what a notice is of.
type NoticeKind uint8

// What notices are of.
const (
	Connected      NoticeKind = iota
	Disconnected              // Disconnect says why
	DeliveryFailed            // deliveries: Failure says why, Messages which
)

// A Notice tells of something that happened on a loop, for those who log it.
type Notice struct {
	Kind         NoticeKind
	At           time.Time
	GatewayID    string
	ConnectionID uuid.UUID // zero in a failed delivery to nobody
	Remote       netip.AddrPort
	Disconnect   event.CloseReason
	Detail       string // of a disconnect: what the peer did or the socket said
	Duration     time.Duration
	EventsSent   uint64
	Failure      event.FailureReason
	Messages     []*Message
}
