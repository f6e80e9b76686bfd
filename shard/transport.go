// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/poller"
)

// A Message is one WebSocket frame's worth of bytes to send, an event in most cases. It
// is made once, shared by all its receivers and never changed.
type Message struct {
	Wire []byte
	// Deflated is the compressed form of Wire, for transports that take it. Nil: there
	// is none. It is set before the message is shared.
	Deflated []byte
	// Cursor is the event's id. It is zero for an ack, a ping and a close frame.
	Cursor event.Cursor
	// Published is when the event was published, in nanoseconds since 1970.
	Published int64
	// Body is the event's JSON, a part of Wire.
	Body []byte
	// Key is the event's key; empty for an event that no other supersedes.
	Key string
}

// form returns the bytes for a transport that does or does not take Deflated.
func (m *Message) form(deflates bool) []byte {
	if deflates && m.Deflated != nil {
		return m.Deflated
	}
	return m.Wire
}

// size returns how many bytes the forms of the message take.
func (m *Message) size() int { return len(m.Wire) + len(m.Deflated) }

// A Transport sends bytes to one peer and passes what the peer sends to a [Receiver].
// It is used on its shard's loop only, and must not block.
type Transport interface {
	// Start begins reading. Bytes that have arrived already are received before it
	// returns.
	Start()
	// Write takes bytes from the front of vec and returns how many. When it takes fewer
	// than all, or leaves some Unsent, it calls the receiver's Writable as soon as it
	// can send more. It keeps nothing of vec.
	Write(vec [][]byte) (n int, err error)
	// Unsent returns how many bytes Write took that the socket has not.
	Unsent() int
	// Deflates reports whether the peer takes the Deflated form of messages. It is
	// constant.
	Deflates() bool
	// Encode returns the wire form of a text message.
	Encode(text []byte) []byte
	// Ping returns the wire form of a ping.
	Ping() []byte
	// CloseFrame returns the wire form of a close frame for a reason.
	CloseFrame(why event.CloseReason) []byte
	// CloseWrite closes the sending side.
	CloseWrite()
	// Close closes the transport and its descriptor. The receiver is not called again.
	Close()
}

// A Receiver receives what the peer of a transport sends. It is called on the loop.
type Receiver interface {
	// BytesReceived is called when n bytes arrived, whatever they are. If it returns
	// false the transport receives nothing more.
	BytesReceived(n int) bool
	// Alive is called at the end of a whole message or control frame. Other bytes are
	// no sign of life, or a peer could begin a message and never end it.
	Alive()
	// FramesReceived is called for n frames that cause no other call: fragments of
	// messages, and pongs. If it returns false the transport receives nothing more.
	FramesReceived(n int) bool
	// Message is called with a text message, which is valid until the call returns.
	Message(text []byte)
	// Reply is called with the answer to a ping, to be sent before what is queued. Only
	// the latest reply must be sent.
	Reply(wire []byte)
	// PeerClosed is called when the peer has sent a close frame. reply is the close
	// frame to answer with.
	PeerClosed(reply []byte)
	// Violation is called when the peer broke the protocol; the transport receives
	// nothing more. closeFrame says so to the peer.
	Violation(why event.CloseReason, detail string, closeFrame []byte)
	// Lost is called when the connection is lost. err is nil at an end of file.
	Lost(err error)
	// Writable is called when a transport that refused bytes takes more.
	Writable()
}

// A BinaryReceiver is a Receiver that takes binary messages too. For any other Receiver
// they are a violation.
type BinaryReceiver interface {
	Receiver
	// Binary is called with a binary message, which is valid until the call returns.
	Binary(payload []byte)
}

// An Opener makes the transport of a new connection. It runs on the loop of the
// connection's shard. If it fails it closes what it was given.
type Opener func(l *poller.Loop, r Receiver) (Transport, error)
