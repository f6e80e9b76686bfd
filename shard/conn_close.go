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
func (c *conn) beginClose(why event.CloseReason, detail string, closeFrame []byte) {
	c.s.leave(c)
	c.state, c.reason, c.detail = closing, why, detail
	c.closeDue = c.s.now.add(c.s.cfg.CloseTimeout)
	c.s.wheel.sooner(c, c.closeDue)
	c.enqueue(&Message{Wire: closeFrame})
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
func (c *conn) Violation(why event.CloseReason, detail string, closeFrame []byte) {
	if c.state == closing { // it answers our close frame with a violation
		c.finish(c.reason, c.detail)
		return
	}
	c.readClosed = true
	c.dropQueue(why)
	c.beginClose(why, detail, closeFrame)
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
