// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/gatecast/gatecast/frame"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/shard"
)

const (
	// maxQueued limits what is queued for a peer that does not read, in bytes.
	maxQueued = 4 * maxMessage
	// endTimeout is how long a peer has to read the close frame and to close.
	endTimeout = 2 * time.Second
)

// A conn sends back what it receives. It is owned by the loop.
type conn struct {
	s         *server
	transport shard.Transport
	released  func()

	queue  [][]byte // wire; the first without its sent bytes
	queued int      // bytes of queue

	ending   bool // a close frame is the last of the queue
	deadline time.Time
	closed   bool
}

// open opens an upgraded connection.
func (s *server) open(r *shard.Registration) {
	c := &conn{s: s, released: r.Closed}
	t, err := r.Open(s.loop, c)
	if err != nil {
		r.Closed()
		return
	}
	c.transport = t
	s.conns[c] = struct{}{}
	c.send(r.UpgradeResponse)
	if !c.closed {
		t.Start()
	}
}

// Message implements [shard.Receiver].
func (c *conn) Message(text []byte) { c.echo(frame.OpText, text) }

// Binary implements [shard.BinaryReceiver].
func (c *conn) Binary(payload []byte) { c.echo(frame.OpBinary, payload) }

// echo sends a message back, compressed if that is negotiated and shorter.
func (c *conn) echo(op frame.OpCode, payload []byte) {
	if c.transport.Deflates() {
		if wire, ok := frame.AppendDeflated(nil, op, payload); ok {
			c.send(wire)
			return
		}
	}
	c.send(frame.Append(nil, op, payload))
}

// Reply implements [shard.Receiver]. Every ping is answered, in order.
func (c *conn) Reply(wire []byte) { c.send(wire) }

// PeerClosed implements [shard.Receiver].
func (c *conn) PeerClosed(reply []byte) { c.end(reply) }

// Violation implements [shard.Receiver].
func (c *conn) Violation(_ event.CloseReason, _ string, closeFrame []byte) { c.end(closeFrame) }

// BytesReceived implements [shard.Receiver].
func (c *conn) BytesReceived(int) bool { return true }

// Alive implements [shard.Receiver].
func (c *conn) Alive() {}

// FramesReceived implements [shard.Receiver].
func (c *conn) FramesReceived(int) bool { return true }

// Lost implements [shard.Receiver].
func (c *conn) Lost(error) { c.finish() }

// Writable implements [shard.Receiver].
func (c *conn) Writable() { c.flush() }

// end sends the close frame. The peer closes the connection: to close it while the peer
// still sends would reset it.
func (c *conn) end(wire []byte) {
	c.ending, c.deadline = true, time.Now().Add(endTimeout)
	c.send(wire)
}

// send queues bytes and writes them if nothing waits. A peer that does not read is
// cut off.
func (c *conn) send(wire []byte) {
	if c.queued+c.transport.Unsent()+len(wire) > maxQueued {
		c.finish()
		return
	}
	waiting := c.queued+c.transport.Unsent() > 0 // then Writable flushes
	c.queue = append(c.queue, wire)
	c.queued += len(wire)
	if !waiting {
		c.flush()
	}
}

// flush sends what the socket takes.
func (c *conn) flush() {
	n, err := c.transport.Write(c.queue)
	if err != nil {
		c.finish()
		return
	}
	c.advance(n)
	if c.queued > 0 || c.transport.Unsent() > 0 {
		return
	}
	c.queue = nil
	if c.ending {
		c.transport.CloseWrite()
	}
}

// advance removes n sent bytes from the front.
func (c *conn) advance(n int) {
	c.queued -= n
	for n > 0 {
		k := min(n, len(c.queue[0]))
		n -= k
		if c.queue[0] = c.queue[0][k:]; len(c.queue[0]) == 0 {
			c.queue = c.queue[1:]
		}
	}
}

// finish closes the connection in any state.
func (c *conn) finish() {
	if c.closed {
		return
	}
	c.closed = true
	c.transport.Close()
	delete(c.s.conns, c)
	c.released()
}
