// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"encoding/json"
	"math/rand/v2"

	"github.com/gatecast/gatecast/internal/event"
)

// register opens a connection. Upgrade response and ack are the first messages queued
// for it; every event after the ack's cursor follows. The cost is in appends.
func (s *state) register(r *Registration) (cost int) {
	if s.stopped {
		r.abandon()
		return 0
	}
	defer r.counted()
	c := newConn(s, r)
	t, err := r.Open(s.loop, c)
	if err != nil {
		c.notifyDisconnected(event.InternalError, err.Error())
		return 0
	}
	c.transport, c.deflates = t, t.Deflates()
	c.addToShard(&r.Peer)
	if why, revoked := r.Peer.Revoked(); revoked {
		c.enqueueFirst(r.UpgradeResponse)
		c.close(why, "revoked while it connected")
	} else {
		cost = c.queueAck(r)
		c.notifyConnected()
	}
	t.Start()
	return cost
}

// queueAck queues the ack, and starts the replay of a gateway that resumes.
func (c *conn) queueAck(r *Registration) (cost int) {
	if r.Resume == nil {
		c.reportStart(false)
		c.enqueueFirst(append(r.UpgradeResponse, c.transport.Encode(c.ackText(false))...))
		return 0
	}
	// A position before the barrier is of another gateway, or of the time before the
	// registration. Events between the two are not for this gateway.
	r.Resume.After = max(r.Resume.After, c.s.gateways[c.gatewayID].first)
	reason := c.s.resyncReason(r.Resume)
	if reason == "" {
		c.setPosition(r.Resume.After)
	}
	c.enqueueFirst(append(r.UpgradeResponse, c.transport.Encode(c.ackText(reason == ""))...))
	if reason != "" {
		c.resync(reason)
		return 1
	}
	return c.resume(r.Resume)
}

// newConn returns a connection that has no transport yet.
func newConn(s *state, r *Registration) *conn {
	return &conn{
		s: s, gatewayID: r.Peer.GatewayID, tokenID: r.Peer.TokenID, live: r.Peer.Live, requests: r.Peer.Requests, onClosed: r.Closed,
		id: r.ID, remote: packAddr(r.Remote), connectedAt: s.now, connected: s.wall(s.now).UnixNano(), lastHeard: s.now, link: wheelLink{slot: -1},
	}
}

// addToShard adds an opened connection to its shard and its gateway.
func (c *conn) addToShard(p *Peer) {
	s := c.s
	c.slot = s.conns.add(c)
	s.stats.Connections.Add(1)
	s.join(c, p)
	c.setPositionToEnd()
	// The first ping is early by up to half the interval. Connections that began
	// together, after a restart, would otherwise be pinged together.
	c.pingDue = s.now.add(s.cfg.PingInterval - rand.N(s.cfg.PingInterval/2+1))
	s.wheel.add(c, c.nextDeadline())
}

// setPosition sets where in the log the connection begins.
func (c *conn) setPosition(seq uint64) { c.queuedSeq, c.writtenSeq, c.reportedSeq = seq, seq, seq }

// setPositionToEnd makes the connection begin with the next event: not before the
// gateway's barrier, which this node may not have reached yet.
func (c *conn) setPositionToEnd() {
	c.setPosition(max(c.s.appliedSeq, c.s.gateways[c.gatewayID].first))
}

// enqueueFirst queues the first message of the connection: upgrade response and ack.
func (c *conn) enqueueFirst(wire []byte) {
	m := &Message{Wire: wire}
	c.enqueue(m)
	c.out.first = m
}

// notifyConnected reports the new connection.
func (c *conn) notifyConnected() {
	c.s.cfg.Notify(Notice{
		Kind: Connected, At: c.s.clock(),
		GatewayID: c.gatewayID, ConnectionID: c.id, Remote: c.remote.unpack(),
	})
}

// ackText returns the JSON of connection.ack. Its cursor is where the connection
// begins.
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
