// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// close closes an open connection by a close handshake (RFC 6455 section 7.1.2). Queued
// events are dropped, except on shutdown: then the close frame follows them.
func (c *conn) close(why event.CloseReason, detail string) {
	if c.state != open {
		return
	}
	if why != event.Shutdown {
		c.dropQueue(why)
	}
	c.beginClose(why, detail, c.transport.CloseFrame(why))
}

// beginClose removes an open connection from its gateway and queues its close frame,
// the last message.
func (c *conn) beginClose(why event.CloseReason, detail string, goodbye []byte) {
	c.s.leave(c)
	c.state, c.reason, c.detail = closing, why, detail
	c.closeDue = c.s.now.add(c.s.cfg.CloseTimeout)
	c.s.wheel.sooner(c, c.closeDue)
	c.enqueue(&Message{Wire: goodbye})
}

// closeFrameSent is called when our close frame, the last of the queue, is written.
func (c *conn) closeFrameSent() {
	switch {
	case c.closeReceived:
		// Close frames are exchanged. The server closes first (RFC 6455 section 7.1.1),
		// which keeps the client's port out of TIME_WAIT.
		c.transport.CloseWrite()
		c.finish(c.reason, c.detail)
	case c.readClosed:
		// The peer's frames are not decoded any more, so no answer is awaited. The peer
		// gets lingerTimeout to read the close frame: closing while it still sends
		// would reset the connection.
		c.transport.CloseWrite()
		c.closeDue = min(c.closeDue, c.s.now.add(lingerTimeout))
		c.s.wheel.sooner(c, c.closeDue)
	}
}

// lingerTimeout is how long a peer that broke the protocol has to close its side.
const lingerTimeout = time.Second

// BytesReceived implements [Receiver].
func (c *conn) BytesReceived(n int) bool {
	c.s.readClock()
	if !c.limiter.allowBytes(c.s.now, c.s.cfg.ReadBytes, n) {
		c.rateExceeded("more bytes than a gateway may send")
	}
	return !c.readClosed
}

// Alive implements [Receiver].
func (c *conn) Alive() { c.lastHeard = c.s.now }

// FramesReceived implements [Receiver].
func (c *conn) FramesReceived(n int) bool {
	if !c.limiter.allowFrames(c.s.now, c.s.cfg.ReadMessages, n) {
		c.rateExceeded("more frames than a gateway may send")
	}
	return !c.readClosed
}

// rateExceeded closes a connection whose peer sends more than the limit.
func (c *conn) rateExceeded(detail string) {
	if c.state == open {
		c.Violation(event.RateExceeded, detail, c.transport.CloseFrame(event.RateExceeded))
	}
}

// allowMessage charges a message or a ping. It closes the connection and reports false
// if that exceeds the limit.
func (c *conn) allowMessage() bool {
	if c.limiter.allowMessage(c.s.now, c.s.cfg.ReadMessages, c.sent) {
		return true
	}
	c.rateExceeded("more messages than a gateway may send")
	return false
}

// Message implements [Receiver].
func (c *conn) Message(text []byte) {
	if c.state != open || !c.allowMessage() {
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
		m.Dispatched = c.s.appliedSeq
		if m.Kind == event.EventAck {
			m.Owner = c.s.ownership(c.s.gateways[c.gatewayID], m.Event)
		}
		c.s.queueInbound(m)
	}
}

// Reply implements [Receiver].
func (c *conn) Reply(wire []byte) {
	if c.state != open || !c.allowMessage() {
		return
	}
	m := &Message{Wire: wire}
	// RFC 6455 section 5.5.3: only the latest of several pings must be answered. So a
	// flood of pings queues one pong.
	if c.out != nil && c.out.reply != nil && c.out.queue.replace(c.out.reply, m) {
		c.touch()
	} else {
		c.enqueueFront(m)
	}
	c.out.reply = m
}

// PeerClosed implements [Receiver].
func (c *conn) PeerClosed(reply []byte) {
	c.closeReceived = true
	switch {
	case c.state == open:
		c.dropQueue(event.PeerClosed)
		c.beginClose(event.PeerClosed, "", reply)
	case c.state == closing && c.pending() == 0:
		c.closeFrameSent()
	}
}

// Violation implements [Receiver].
func (c *conn) Violation(why event.CloseReason, detail string, goodbye []byte) {
	if c.state == closing { // it answers our close frame with a violation
		c.finish(c.reason, c.detail)
		return
	}
	c.readClosed = true
	c.dropQueue(why)
	c.beginClose(why, detail, goodbye)
}

// Lost implements [Receiver].
func (c *conn) Lost(err error) {
	switch {
	case c.state == closing:
		if err == nil && !c.blocked && c.out != nil { // the peer may still read our close frame
			c.flush()
		}
		c.finish(c.reason, c.detail)
	case err != nil:
		c.finish(event.ConnectionLost, err.Error())
	default:
		c.finish(event.ConnectionLost, "end of file without a close frame")
	}
}

// finish closes the descriptor and removes the connection from everything that refers
// to it. It can be called in any state; a second call does nothing.
func (c *conn) finish(why event.CloseReason, detail string) {
	if c.state == closed {
		return
	}
	if c.state == open {
		c.s.leave(c)
		c.dropQueue(why)
	}
	if c.writtenSeq > c.reportedSeq { // report now: the gateway may not reconnect before this process is killed
		c.reportProgress()
		c.s.report.Immediate = true
		c.s.ring()
	}
	c.state = closed
	c.transport.Close()
	c.s.wheel.remove(c)
	c.s.conns.remove(c.slot)
	c.s.stats.Connections.Add(-1)
	if c.out != nil {
		c.s.stats.QueuedBytes.Add(int64(-c.out.gaugeBytes))
		c.s.pool.put(c.out)
		c.out = nil
	}
	c.notifyDisconnected(why, detail)
}

// notifyDisconnected counts and reports the end of the connection.
func (c *conn) notifyDisconnected(why event.CloseReason, detail string) {
	c.s.stats.Disconnects.Inc(int(why))
	c.s.cfg.Notify(Notice{
		Kind: Disconnected, At: c.s.clock(),
		GatewayID: c.gatewayID, ConnectionID: c.id, Remote: c.remote.unpack(),
		Disconnect: why, Detail: detail, Duration: time.Duration(c.s.now - c.connectedAt), EventsSent: c.sent,
	})
	c.onClosed()
}
