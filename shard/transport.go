// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/poller"
)

// A Message is an event as it goes onto the wire: made once, shared by all its
// receivers, never changed.
type Message struct {
	Wire []byte
	// Deflated is Wire compressed, for the transports that take it; nil when there
	// is no such form. It is set before the message is shared.
	Deflated []byte
	// Cursor is the event's id. It is zero for what is no event: an ack, a
	// ping, a goodbye.
	Cursor event.Cursor
	// Published is when the event was published, in nanoseconds since 1970.
	Published int64
	// Body is the event's JSON, a part of Wire.
	Body []byte
	// Key is the event's, empty for one that nothing replaces.
	Key string
}

// form returns what goes onto the wire of a transport that takes Deflated, or of
// one that does not.
func (m *Message) form(deflates bool) []byte {
	if deflates && m.Deflated != nil {
		return m.Deflated
	}
	return m.Wire
}

// size returns how many bytes the message's forms take.
func (m *Message) size() int { return len(m.Wire) + len(m.Deflated) }

// A Transport carries bytes to one peer and tells a [Receiver] what comes back.
// It is used on its shard's loop only, and must not block.
type Transport interface {
	// Start begins reading. Bytes that arrived before are received before it
	// returns.
	Start()
	// Write takes bytes from the front of vec and returns how many. When it
	// takes fewer than all, or leaves some Unsent, it calls the receiver's
	// Writable as soon as more would go. It keeps nothing of vec.
	Write(vec [][]byte) (n int, err error)
	// Unsent returns how many bytes Write took that are not on their way yet.
	Unsent() int
	// Deflates reports whether the peer takes a message's Deflated form. It is
	// constant.
	Deflates() bool
	// Encode returns the wire form of one text message.
	Encode(text []byte) []byte
	// Ping returns the wire form of a question for a sign of life.
	Ping() []byte
	// CloseFrame returns the wire form of the last message, which says why.
	CloseFrame(why event.CloseReason) []byte
	// CloseWrite tells the peer that nothing more will come.
	CloseWrite()
	// Close ends the transport. The receiver is not called again.
	Close()
}

// A Receiver is told what comes from a transport's peer.
type Receiver interface {
	// BytesReceived says that n bytes arrived, whatever they are. When it returns false
	// the transport receives nothing more.
	BytesReceived(n int) bool
	// Alive says that among them was the end of something: a whole message, or an
	// answer to a ping. Bytes alone are no sign of life, or a peer could begin a
	// message and never end it.
	Alive()
	// FramesReceived says that n frames came that nothing else tells of: fragments of
	// messages, and pongs. When it returns false the transport receives nothing
	// more.
	FramesReceived(n int) bool
	// Message hands over one text message, valid until the call returns.
	Message(text []byte)
	// Reply asks for wire to be sent ahead of what is queued. Only the latest
	// reply need be sent.
	Reply(wire []byte)
	// PeerClosed says that the peer said goodbye. reply is the answer to send.
	PeerClosed(reply []byte)
	// Violation says that the peer broke the protocol: after it the transport
	// receives nothing more. goodbye is what to tell the peer.
	Violation(why event.CloseReason, detail string, goodbye []byte)
	// Lost says that the connection is gone. err is nil at an end of file.
	Lost(err error)
	// Writable says that a transport that refused bytes takes more.
	Writable()
}

// A BinaryReceiver is a Receiver that takes binary messages too. To any other they
// are a violation.
type BinaryReceiver interface {
	Receiver
	// Binary hands over one binary message, valid until the call returns.
	Binary(payload []byte)
}

// An Opener makes the transport of a new connection. It runs on the loop of the
// connection's shard. What it holds is its own to release when it fails.
type Opener func(l *poller.Loop, r Receiver) (Transport, error)
