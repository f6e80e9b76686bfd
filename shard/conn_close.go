// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// close ends an open connection in the peer's hearing: a goodbye that says why,
// the peer's answer, and the end. Queued events are dropped, but for a shutdown,
// which says goodbye behind them.
func (c *conn) close(why event.CloseReason, detail string) {
	if c.state != open {
		return
	}
	if why != event.Shutdown {
		c.dropQueue(why)
	}
	c.part(why, detail, c.transport.CloseFrame(why))
}

// part takes an open connection from its gateway and queues its last message.
func (c *conn) part(why event.CloseReason, detail string, goodbye []byte) {
	c.s.leave(c)
	c.state, c.why, c.detail = closing, why, detail
	c.closeDue = c.s.now.add(c.s.cfg.CloseTimeout)
	c.s.wheel.sooner(c, c.closeDue)
	c.enqueue(&Message{Wire: goodbye})
}

// goodbyeSent goes on when our goodbye, the last of the queue, is written.
func (c *conn) goodbyeSent() {
	switch {
	case c.peerBye:
		// Both goodbyes are said; the server closes first (RFC 6455 section
		// 7.1.1, and so that the client's port is not left in TIME_WAIT).
		c.transport.CloseWrite()
		c.finish(c.why, c.detail)
	case c.deaf:
		// An answer would not be understood. The peer is left a moment to read
		// the goodbye: closing on what it still sends would reset the connection.
		c.transport.CloseWrite()
		c.closeDue = min(c.closeDue, c.s.now.add(lingerTimeout))
		c.s.wheel.sooner(c, c.closeDue)
	}
}

// lingerTimeout is how long a peer that broke the protocol has to hang up.
const lingerTimeout = time.Second

// BytesReceived implements [Receiver].
func (c *conn) BytesReceived(n int) bool {
	c.s.readClock()
	if !c.allowance.read(c.s.now, c.s.cfg.ReadBytes, n) {
		c.exceed("more bytes than a gateway may send")
	}
	return !c.deaf
}

// Alive implements [Receiver].
func (c *conn) Alive() { c.lastHeard = c.s.now }

// FramesReceived implements [Receiver].
func (c *conn) FramesReceived(n int) bool {
	if !c.allowance.frames(c.s.now, c.s.cfg.ReadMessages, n) {
		c.exceed("more frames than a gateway may send")
	}
	return !c.deaf
}

// exceed ends a connection whose peer sends more than it may.
func (c *conn) exceed(detail string) {
	if c.state == open {
		c.Violation(event.RateExceeded, detail, c.transport.CloseFrame(event.RateExceeded))
	}
}

// mayAsk charges a message, or a ping, and reports whether it is within bounds.
func (c *conn) mayAsk() bool {
	if c.allowance.message(c.s.now, c.s.cfg.ReadMessages, c.sent) {
		return true
	}
	c.exceed("more messages than a gateway may send")
	return false
}

// Message implements [Receiver].
func (c *conn) Message(text []byte) {
	if c.state != open || !c.mayAsk() {
		return
	}
	m, ok := parseInbound(text)
	if !ok {
		c.close(event.InvalidData, "a message is not JSON")
		return
	}
	c.s.stats.Received.Inc(int(m.Kind))
	if m.Kind != event.UnknownMessage {
		m.GatewayID, m.ConnectionID, m.At = c.gatewayID, c.id, c.s.clock()
		m.Dispatched = c.s.seq
		if m.Kind == event.EventAck {
			m.Owner = c.s.ownership(c.s.gateways[c.gatewayID], m.Event)
		}
		c.s.heard(m)
	}
}

// Reply implements [Receiver].
func (c *conn) Reply(wire []byte) {
	if c.state != open || !c.mayAsk() {
		return
	}
	m := &Message{Wire: wire}
	// RFC 6455 section 5.5.3: of several pings only the latest need be answered,
	// so a flood of them queues one answer.
	if c.out != nil && c.out.reply != nil && c.out.queue.replace(c.out.reply, m) {
		c.touch()
	} else {
		c.enqueueUrgent(m)
	}
	c.out.reply = m
}

// PeerClosed implements [Receiver].
func (c *conn) PeerClosed(reply []byte) {
	c.peerBye = true
	switch {
	case c.state == open:
		c.dropQueue(event.PeerClosed)
		c.part(event.PeerClosed, "", reply)
	case c.state == closing && c.pending() == 0:
		c.goodbyeSent()
	}
}

// Violation implements [Receiver].
func (c *conn) Violation(why event.CloseReason, detail string, goodbye []byte) {
	if c.state == closing { // it answers our goodbye with nonsense
		c.finish(c.why, c.detail)
		return
	}
	c.deaf = true
	c.dropQueue(why)
	c.part(why, detail, goodbye)
}

// Lost implements [Receiver].
func (c *conn) Lost(err error) {
	switch {
	case c.state == closing:
		if err == nil && !c.blocked && c.out != nil { // it may still read our answer
			c.flush()
		}
		c.finish(c.why, c.detail)
	case err != nil:
		c.finish(event.ConnectionLost, err.Error())
	default:
		c.finish(event.ConnectionLost, "end of file without a close frame")
	}
}

// finish ends the connection, from whatever state: the descriptor is closed and
// nothing refers to the connection any more.
func (c *conn) finish(why event.CloseReason, detail string) {
	if c.state == closed {
		return
	}
	if c.state == open {
		c.s.leave(c)
		c.dropQueue(why)
	}
	if c.seq > c.told { // its gateway may not come back before this process is killed
		c.tellProgress()
		c.s.report.Immediate = true
		c.s.ring()
	}
	c.state = closed
	c.transport.Close()
	c.s.wheel.remove(c)
	c.s.conns.remove(c.slot)
	c.s.stats.Connections.Add(-1)
	if c.out != nil {
		c.s.stats.QueuedBytes.Add(int64(-c.out.counted))
		c.s.pool.put(c.out)
		c.out = nil
	}
	c.depart(why, detail)
}

// depart counts and tells of the end.
func (c *conn) depart(why event.CloseReason, detail string) {
	c.s.stats.Disconnects.Inc(int(why))
	c.s.cfg.Notify(Notice{
		Kind: Disconnected, At: c.s.clock(),
		GatewayID: c.gatewayID, ConnectionID: c.id, Remote: c.remote.unpack(),
		Disconnect: why, Detail: detail, Duration: time.Duration(c.s.now - c.connectedAt), EventsSent: c.sent,
	})
	c.released()
}
