// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"github.com/gatecast/gatecast/internal/activity"
	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
)

// A connState is how far a connection's life has come.
type connState uint8

const (
	// open: it is one of its gateway's connections; events are queued for it,
	// it is pinged. Left for closing by close and by the peer's goodbye, for
	// closed by an error.
	open connState = iota
	// closing: it is no longer one of its gateway's connections. A goodbye is
	// the last thing queued; what comes from the peer matters only as an
	// answer to it. Left for closed when goodbyes are exchanged, by an error,
	// and at closeDue.
	closing
	// closed: the descriptor is closed, and nothing refers to the connection.
	closed
)

// A conn is one connection of a gateway. It is part of its shard's [state], and
// like that touched on the loop only.
type conn struct {
	// Constant. Of its registration it keeps what is needed later.
	s           *state
	gatewayID   string
	tokenID     string
	live        *atomic.Int32 // the gateway's connections
	released    func()        // Registration.Closed
	id          uuid.UUID
	transport   Transport
	requests    *activity.Requests
	connectedAt instant
	connected   int64 // connectedAt by the wall clock, in Unix nanoseconds
	remote      packedAddr
	slot        int32

	deflates bool // constant: the transport takes Message.Deflated

	state   connState
	dirty   bool // in s.dirty
	blocked bool // the transport will call Writable
	peerBye bool // the peer has said goodbye
	deaf    bool // the peer broke the protocol; nothing more is received
	moved   bool // in s.moved
	why     event.CloseReason
	detail  string

	out *outbox // nil while nothing is to be sent

	link      wheelLink
	lastHeard instant
	pingDue   instant
	closeDue  instant // while closing

	// Places in the log. Those of one connection never go back.
	pos  uint64 // every event for the gateway up to here is queued; none behind it
	seq  uint64 // the last event written, else where the connection began
	told uint64 // what of seq was reported

	sent uint64 // events written

	allowance allowance
}

// A packedAddr is a netip.AddrPort without a zone, in 18 bytes where that has 32.
type packedAddr struct {
	ip   [16]byte
	port uint16
}

func packAddr(a netip.AddrPort) packedAddr { return packedAddr{a.Addr().As16(), a.Port()} }

func (p packedAddr) unpack() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(p.ip).Unmap(), p.port)
}

// newConn begins a connection; it has no transport yet.
func newConn(s *state, r *Registration) *conn {
	return &conn{
		s: s, gatewayID: r.Peer.GatewayID, tokenID: r.Peer.TokenID, live: r.Peer.Live, requests: r.Peer.Requests, released: r.Closed,
		id: r.ID, remote: packAddr(r.Remote), connectedAt: s.now, connected: s.wall(s.now).UnixNano(), lastHeard: s.now, link: wheelLink{slot: -1},
	}
}

// enter puts an opened connection where it is found.
func (c *conn) enter(p *Peer) {
	s := c.s
	c.slot = s.conns.add(c)
	s.stats.Connections.Add(1)
	s.join(c, p)
	c.startAtEnd()
	// The first ping comes early by up to half the interval: connections that
	// began together, after a restart, shall not be pinged together for ever.
	c.pingDue = s.now.add(s.cfg.PingInterval - rand.N(s.cfg.PingInterval/2+1))
	s.wheel.add(c, c.due())
}

// startAt has the connection begin at a place in the log.
func (c *conn) startAt(seq uint64) { c.pos, c.seq, c.told = seq, seq, seq }

// startAtEnd has the connection begin with what comes next: not before the gateway's
// barrier, which the node may not have reached yet.
func (c *conn) startAtEnd() { c.startAt(max(c.s.seq, c.s.gateways[c.gatewayID].first)) }

// begin queues what goes ahead of everything.
func (c *conn) begin(wire []byte) {
	m := &Message{Wire: wire}
	c.enqueue(m)
	c.out.first = m
}

func (c *conn) tellConnected() {
	c.s.cfg.Notify(Notice{
		Kind: Connected, At: c.s.clock(),
		GatewayID: c.gatewayID, ConnectionID: c.id, Remote: c.remote.unpack(),
	})
}

func (c *conn) ackText(resumed bool) []byte {
	b, err := json.Marshal(struct {
		Type         string       `json:"type"`
		GatewayID    string       `json:"gatewayId"`
		ConnectionID string       `json:"connectionId"`
		Timestamp    string       `json:"timestamp"`
		Cursor       event.Cursor `json:"cursor"`
		Resumed      bool         `json:"resumed"`
	}{
		"connection.ack", c.gatewayID, c.id.String(),
		c.s.clock().UTC().Format(event.TimeFormat), c.cursor(), resumed,
	})
	if err != nil {
		panic("BUG: an ack does not marshal: " + err.Error())
	}
	return b
}

// cursor returns the position of the last event written, else where the
// connection began.
func (c *conn) cursor() event.Cursor { return c.s.lineage.CursorOf(c.seq) }

// due returns when the connection must be looked at next.
func (c *conn) due() instant {
	if c.state == closing {
		return c.closeDue
	}
	return min(c.pingDue, c.deadAt(), c.out.stalled())
}

// deadAt returns when the peer's silence will have been too long.
func (c *conn) deadAt() instant {
	return max(c.lastHeard, c.s.awake).add(c.s.cfg.Timeout)
}

// expire is called when the wheel has come to the connection.
func (c *conn) expire() {
	now := c.s.now
	switch {
	case c.state == closing && c.closeDue <= now:
		c.finish(c.why, c.detail)
	case c.state == closing:
	case c.deadAt() <= now && c.atWork(): // looked at again when that will have been too long
	case c.deadAt() <= now:
		c.finish(event.HeartbeatTimeout, "")
	case c.out.stalled() <= now:
		c.close(event.SlowConsumer, "its send queue did not move")
	case c.pingDue <= now:
		c.ping()
	}
	if c.state != closed && c.link.slot < 0 {
		c.s.wheel.add(c, c.due())
	}
}

// atWork reports whether the peer has given a sign of life by a request to this
// node, and takes it for one. It confirms nothing of what was sent.
func (c *conn) atWork() bool {
	c.lastHeard = max(c.lastHeard, c.s.instantOf(c.requests.LastActive(c.s.timeOf(c.s.now))))
	return c.deadAt() > c.s.now
}

func (c *conn) ping() {
	c.pingDue = c.s.now.add(c.s.cfg.PingInterval)
	c.s.stats.Pings.Inc()
	c.enqueueUrgent(&Message{Wire: c.transport.Ping()})
}
