// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import "github.com/gatecast/gatecast/internal/event"

// BytesReceived implements [Receiver].
func (c *conn) BytesReceived(n int) bool {
	c.s.readClock()
	if !c.limiter.allowBytes(c.s.now, c.s.cfg.ReadBytes, n) {
		c.rateExceeded("it sent more bytes than the read limit")
	}
	return !c.readClosed
}

// Alive implements [Receiver].
func (c *conn) Alive() { c.lastHeard = c.s.now }

// FramesReceived implements [Receiver].
func (c *conn) FramesReceived(n int) bool {
	if !c.limiter.allowFrames(c.s.now, c.s.cfg.ReadMessages, n) {
		c.rateExceeded("it sent more frames than the read limit")
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
	c.rateExceeded("it sent more messages than the read limit")
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
