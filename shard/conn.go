// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"encoding/json"
	"math/rand/v2"

	"gatecast/event"
	"gatecast/stats"
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
	// Constant.
	s           *state
	reg         *Registration
	transport   Transport
	slot        int32
	connectedAt instant

	state   connState
	dirty   bool // in s.dirty
	blocked bool // the transport will call Writable
	peerBye bool // the peer has said goodbye
	deaf    bool // the peer broke the protocol; nothing more is received
	why     stats.Disconnect
	detail  string

	queue  queue
	queued int      // what of the shard's gauge of queued bytes is ours
	ack    *Message // while it is queued
	reply  *Message // the latest reply, while it is queued

	link      wheelLink
	lastHeard instant
	pingDue   instant
	stallDue  instant // never while nothing is queued
	closeDue  instant // while closing

	sent   uint64       // events written
	cursor event.Cursor // of the last one, else where the connection began
}

// enter puts an opened connection where it is found.
func (c *conn) enter() {
	s := c.s
	c.slot = s.conns.add(c)
	s.stats.Connections.Add(1)
	s.join(c)
	c.cursor = event.Cursor{Epoch: s.cfg.Start.Epoch, Seq: s.seq}
	// The first ping comes early by up to half the interval: connections that
	// began together, after a restart, shall not be pinged together for ever.
	c.pingDue = s.now.add(s.cfg.PingInterval - rand.N(s.cfg.PingInterval/2+1))
	s.wheel.add(c, c.due())
}

// greet queues the ack.
func (c *conn) greet() {
	c.ack = &Message{Wire: c.transport.Encode(c.ackText())}
	c.enqueue(c.ack)
	c.s.cfg.Notify(Notice{
		Kind: Connected, At: c.s.clock(),
		GatewayID: c.reg.Peer.GatewayID, ConnectionID: c.reg.ID, Remote: c.reg.Remote,
	})
}

func (c *conn) ackText() []byte {
	b, err := json.Marshal(struct {
		Type         string       `json:"type"`
		GatewayID    string       `json:"gatewayId"`
		ConnectionID string       `json:"connectionId"`
		Timestamp    string       `json:"timestamp"`
		Cursor       event.Cursor `json:"cursor"`
		Resumed      bool         `json:"resumed"`
	}{
		"connection.ack", c.reg.Peer.GatewayID, c.reg.ID.String(),
		c.s.clock().UTC().Format(event.TimeFormat), c.cursor, false,
	})
	if err != nil {
		panic("BUG: an ack does not marshal: " + err.Error())
	}
	return b
}

// due returns when the connection must be looked at next.
func (c *conn) due() instant {
	if c.state == closing {
		return c.closeDue
	}
	return min(c.pingDue, c.deadAt(), c.stallDue)
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
	case c.deadAt() <= now:
		c.finish(stats.HeartbeatTimeout, "")
	case c.stallDue <= now:
		c.close(stats.SlowConsumer, "its send queue did not move")
	case c.pingDue <= now:
		c.ping()
	}
	if c.state != closed && c.link.slot < 0 {
		c.s.wheel.add(c, c.due())
	}
}

func (c *conn) ping() {
	c.pingDue = c.s.now.add(c.s.cfg.PingInterval)
	c.s.stats.Pings.Inc()
	c.enqueueUrgent(&Message{Wire: c.transport.Ping()})
}
