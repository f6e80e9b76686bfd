// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"net/netip"
	"sync/atomic"

	"github.com/gatecast/gatecast/internal/activity"
	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
)

// A connState is the state of a connection. It only moves forward.
type connState uint8

const (
	// open: it is one of its gateway's connections; events are queued for it, and it is
	// pinged. Left for closing by close and by the peer's close frame, for closed by an
	// error.
	open connState = iota
	// closing: it is not one of its gateway's connections any more. A close frame is
	// the last message queued; from the peer only its close frame matters. Left for
	// closed when close frames are exchanged, by an error, and at closeDue.
	closing
	// closed: the descriptor is closed, and nothing refers to the connection.
	closed
)

// A conn is one connection of a gateway. It is part of its shard's [state], and like
// that is used on the loop only.
type conn struct {
	// Constant once it is added to its shard. Of the registration it keeps what is
	// needed later.
	s           *state
	gatewayID   string
	tokenID     string
	live        *atomic.Int32 // the gateway's count of connections
	onClosed    func()        // Registration.Closed
	id          uuid.UUID
	transport   Transport
	requests    *activity.Requests
	connectedAt instant
	connected   int64 // connectedAt by the wall clock, in Unix nanoseconds
	remote      packedAddr
	slot        int32 // in s.conns
	deflates    bool  // the transport takes Message.Deflated

	// How the connection ends; see conn_close.go.
	state         connState
	closeReceived bool              // the peer has sent a close frame
	readClosed    bool              // the peer broke the protocol; nothing more is received
	reason        event.CloseReason // from closing on

	// Sending; see conn_send.go.
	dirty       bool    // in s.dirty
	blocked     bool    // the transport will call Writable
	hasProgress bool    // in s.withProgress
	out         *outbox // nil while nothing is to be sent
	detail      string  // of reason, for people; here because it fills no gap above

	// Deadlines. The wheel has the connection at the earliest of them.
	link      wheelLink
	lastHeard instant
	pingDue   instant
	closeDue  instant // while closing

	// Positions in the log. They go back only when the log itself does.
	queuedSeq   uint64 // all events for the gateway up to this one are queued, and none after it
	writtenSeq  uint64 // the last event written, or the position at which the connection began
	reportedSeq uint64 // what of writtenSeq was reported
	sent        uint64 // events written

	limiter rateLimiter // of what the peer sends
}

// A packedAddr is a netip.AddrPort without a zone, in 18 bytes instead of 32.
type packedAddr struct {
	ip   [16]byte
	port uint16
}

// packAddr packs an address. It drops the zone.
func packAddr(a netip.AddrPort) packedAddr { return packedAddr{a.Addr().As16(), a.Port()} }

func (p packedAddr) unpack() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(p.ip).Unmap(), p.port)
}

// cursor returns the id of the last event written, or the position at which the
// connection began.
func (c *conn) cursor() event.Cursor { return c.s.lineage.CursorOf(c.writtenSeq) }

// nextDeadline returns when the wheel must look at the connection next.
func (c *conn) nextDeadline() instant {
	if c.state == closing {
		return c.closeDue
	}
	return min(c.pingDue, c.deadAt(), c.out.stallDeadline())
}

// deadAt returns when the peer will have been silent for too long.
func (c *conn) deadAt() instant {
	return max(c.lastHeard, c.s.resumedAt).add(c.s.cfg.Timeout)
}

// expire is called when the connection's slot of the wheel comes. It handles the one
// deadline that has passed.
func (c *conn) expire() {
	now := c.s.now
	switch {
	case c.state == closing && c.closeDue <= now:
		c.finish(c.reason, c.detail)
	case c.state == closing:
	case c.deadAt() <= now && c.aliveByRequest(): // the wheel looks again at the new deadline
	case c.deadAt() <= now:
		c.finish(event.HeartbeatTimeout, "")
	case c.out.stallDeadline() <= now && c.busy(): // as above
	case c.out.stallDeadline() <= now:
		c.close(event.SlowConsumer, "its send queue made no progress")
	case c.pingDue <= now:
		c.ping()
	}
	if c.state != closed && c.link.slot < 0 {
		c.s.wheel.add(c, c.nextDeadline())
	}
}

// aliveByRequest counts the gateway's HTTP requests to this node as signs of life, and
// reports whether the last one is recent enough. A request confirms nothing of what was
// sent.
func (c *conn) aliveByRequest() bool {
	c.lastHeard = max(c.lastHeard, c.lastRequest())
	return c.deadAt() > c.s.now
}

// busy moves the deadline of a send queue that stalls, and reports whether it has: a
// gateway that waits for an answer to its request often reads nothing. From the end of the
// request on it has StallTimeout. Its queue is limited by bytes all the same.
func (c *conn) busy() bool {
	c.out.stallDue = max(c.out.stallDue, c.lastRequest().add(c.s.cfg.StallTimeout))
	return c.out.stallDue > c.s.now
}

// lastRequest returns when a request of the gateway was last a sign of life; an instant in
// the distant past if there was none.
func (c *conn) lastRequest() instant {
	return c.s.instantOf(c.requests.LastActive(c.s.timeOf(c.s.now)))
}

// ping queues a ping before everything that waits. The peer has Timeout to send
// anything; a pong is not matched with its ping.
func (c *conn) ping() {
	c.pingDue = c.s.now.add(c.s.cfg.PingInterval)
	c.s.stats.Pings.Inc()
	c.enqueueFront(&Message{Wire: c.transport.Ping()})
}
