// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"io"
	"sync/atomic"

	"github.com/gatecast/gatecast/frame"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/poller"
)

// This file is the WebSocket form of [Transport], and all that the package knows of
// WebSocket.

// NewMessage returns the message of an event, made from its id, its key and its JSON
// without the id. published is in nanoseconds since 1970. What receivers share is one
// allocation.
func NewMessage(c event.Cursor, key string, body []byte, published int64) *Message {
	var scratch [32]byte
	size := event.SizeWithID(body, len(c.AppendText(scratch[:0])))
	wire := make([]byte, 0, frame.HeaderSize(size)+size)
	wire = frame.AppendHeader(wire, frame.OpText, size)
	start := len(wire)
	wire = event.AppendWithID(wire, body, c)
	return &Message{Wire: wire, Body: wire[start:], Cursor: c, Key: key, Published: published}
}

// WebSocket is what the WebSocket connections of a node share.
type WebSocket struct {
	MaxMessage   int             // limit of one message from a gateway, in bytes
	ShutdownCode frame.CloseCode // of the close frame when the node drains

	deflating atomic.Int64 // connections that negotiated permessage-deflate
}

// Deflating reports whether any connection takes compressed messages. Any goroutine can
// call it.
func (w *WebSocket) Deflating() bool { return w.deflating.Load() > 0 }

// Deflate sets the compressed form of a message if that is shorter, and returns how
// many bytes shorter. It is called before the message is shared.
func Deflate(m *Message) (saved int) {
	deflated, ok := frame.AppendDeflated(nil, frame.OpText, m.Body)
	if !ok {
		return 0
	}
	m.Deflated = deflated
	return len(m.Wire) - len(deflated)
}

// Opener returns the opener of a connection that was upgraded. early is what the peer
// sent after its request. deflate says that permessage-deflate was negotiated.
func (w *WebSocket) Opener(c *poller.Conn, early []byte, deflate bool) Opener {
	return func(l *poller.Loop, r Receiver) (Transport, error) {
		t := &webSocket{common: w, receiver: r, decoder: frame.Decoder{Deflate: deflate}, early: &early}
		stream, err := l.Open(c, t)
		if err != nil {
			return nil, err
		}
		t.stream = stream
		if deflate {
			w.deflating.Add(1)
		}
		return t, nil
	}
}

// A webSocket is a Transport over a stream, whose sink it is. It is used on the loop.
type webSocket struct {
	common     *WebSocket
	stream     poller.Stream
	receiver   Receiver
	decoder    frame.Decoder
	early      *[]byte // received with the upgrade request; nil once started
	readClosed bool    // nothing more is decoded
	closed     bool
}

// pingWire is shared by all pings: they carry no payload.
var pingWire = frame.Append(nil, frame.OpPing, nil)

// Start implements [Transport].
func (t *webSocket) Start() {
	t.receive(*t.early)
	t.early = nil
	t.Readable() // what crypto/tls has read ahead raises no event
}

// Readable implements [poller.Sink].
func (t *webSocket) Readable() {
	for !t.closed {
		b, err := t.stream.Read()
		if n := t.stream.ReadCost(); n > 0 {
			t.readClosed = !t.receiver.BytesReceived(n) || t.readClosed
		}
		switch err {
		case nil:
			t.receive(b)
		case poller.ErrWouldBlock:
			return
		case io.EOF:
			t.receiver.Lost(nil)
			return
		default:
			t.receiver.Lost(err)
			return
		}
	}
}

// Writable implements [poller.Sink].
func (t *webSocket) Writable() { t.receiver.Writable() }

// receive decodes bytes that arrived.
func (t *webSocket) receive(b []byte) {
	for len(b) > 0 && !t.closed && !t.readClosed {
		m, n, err := t.decoder.Next(b, t.common.MaxMessage)
		if err != nil {
			t.violation(err)
			return
		}
		b = b[n:]
		if f := t.decoder.TakeFragments(); f > 0 {
			t.readClosed = !t.receiver.FramesReceived(f)
		}
		if m.Op != 0 && !t.readClosed {
			t.receiver.Alive()
			t.handle(m)
		}
	}
}

// handle passes a message or control frame to the receiver.
func (t *webSocket) handle(m frame.Message) {
	switch m.Op {
	case frame.OpText:
		t.receiver.Message(m.Payload)
	case frame.OpBinary:
		t.binary(m.Payload)
	case frame.OpPong:
		t.readClosed = !t.receiver.FramesReceived(1)
	case frame.OpPing:
		t.receiver.Reply(frame.Append(nil, frame.OpPong, m.Payload))
	case frame.OpClose:
		t.readClosed = true
		t.receiver.PeerClosed(frame.Append(nil, frame.OpClose, closeReply(m.Payload)))
	}
}

// binary passes a binary message to a receiver that takes them. To gateways'
// connections they are a violation (close code 1003).
func (t *webSocket) binary(payload []byte) {
	if r, ok := t.receiver.(BinaryReceiver); ok {
		r.Binary(payload)
		return
	}
	t.violation(&frame.Error{Code: frame.CloseUnsupportedData, Reason: "binary messages are not accepted"})
}

// closeReply echoes the status code (RFC 6455 section 5.5.1) without the reason.
func closeReply(payload []byte) []byte { return payload[:min(len(payload), 2)] }

// violation reports what the peer did wrong to the receiver.
func (t *webSocket) violation(err error) {
	t.readClosed = true
	why, code, reason := event.ProtocolError, frame.CloseProtocolError, err.Error()
	if e, ok := err.(*frame.Error); ok {
		code, reason = e.Code, e.Reason
		why = violations[code]
	}
	t.receiver.Violation(why, reason, frame.AppendClose(nil, code, reason))
}

// violations maps the close code of a decoder's error to the reason that is counted.
var violations = map[frame.CloseCode]event.CloseReason{
	frame.CloseProtocolError:   event.ProtocolError,
	frame.CloseUnsupportedData: event.UnsupportedData,
	frame.CloseInvalidData:     event.InvalidData,
	frame.CloseMessageTooBig:   event.MessageTooBig,
}

// Write implements [Transport].
func (t *webSocket) Write(vec [][]byte) (int, error) { return t.stream.Write(vec) }

// Unsent implements [Transport].
func (t *webSocket) Unsent() int { return t.stream.Unsent() }

// Deflates implements [Transport].
func (t *webSocket) Deflates() bool { return t.decoder.Deflate }

// Encode implements [Transport].
func (t *webSocket) Encode(text []byte) []byte { return frame.Append(nil, frame.OpText, text) }

// Ping implements [Transport].
func (t *webSocket) Ping() []byte { return pingWire }

// CloseFrame implements [Transport].
func (t *webSocket) CloseFrame(why event.CloseReason) []byte {
	switch why {
	case event.Shutdown:
		return frame.AppendClose(nil, t.common.ShutdownCode, "the server is shutting down")
	case event.TokenRevoked:
		return frame.AppendClose(nil, frame.ClosePolicyViolation, "the token was revoked")
	case event.TokenExpired:
		return frame.AppendClose(nil, frame.ClosePolicyViolation, "the token has expired")
	case event.GatewayRemoved:
		return frame.AppendClose(nil, frame.ClosePolicyViolation, "the gateway was removed")
	case event.GatewayChanged:
		return frame.AppendClose(nil, frame.CloseNormal, "the gateway's groups have changed: reconnect")
	case event.RateExceeded:
		return frame.AppendClose(nil, frame.ClosePolicyViolation, "more messages than a gateway may send")
	case event.SlowConsumer:
		return frame.AppendClose(nil, frame.CloseTryAgainLater, "slow consumer: reconnect and resume")
	case event.InvalidData:
		return frame.AppendClose(nil, frame.CloseInvalidData, "a message is not JSON")
	case event.Kicked:
		return frame.AppendClose(nil, frame.CloseNormal, "closed by an operator")
	default:
		return frame.AppendClose(nil, frame.CloseInternalError, "internal error")
	}
}

// CloseWrite implements [Transport].
func (t *webSocket) CloseWrite() { t.stream.CloseWrite() }

// Close implements [Transport].
func (t *webSocket) Close() {
	t.closed = true
	if t.decoder.Deflate {
		t.common.deflating.Add(-1)
	}
	t.stream.Close()
}
