// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/gatecast/gatecast/frame"
)

const (
	connectPath = "/api/internal/v1/ws/gateways/connect"
	// connectTimeout bounds one connection attempt, from the first packet to the ack.
	connectTimeout = 30 * time.Second
	// readBuffer is the size of a peer's read buffer. It is small because each connection has one.
	readBuffer = 4 << 10
	maxMessage = 1 << 20
)

// The key and accept value are the example of RFC 6455 section 1.3. A real client uses random keys;
// a constant makes the check free of cost.
const (
	upgradeKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	upgradeAnswer = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// A peer is one connection of a gateway. It belongs to the goroutine that dials it, then to the one
// that runs it. Any goroutine can call reset.
type peer struct {
	conn    net.Conn // the TLS connection if TLS is used
	tcp     *net.TCPConn
	gateway int64 // its number
	decoder frame.Decoder
	buf     [readBuffer]byte
	early   []byte // bytes after the ack, in buf
	cursor  string // of the ack; empty if it had none
	last    int64  // number of the newest event received
	acks    bool   // ack each event
	// unexpected decides about a message that should not have arrived: nil ignores it, an error
	// ends the connection with it. Without this function each one ends the connection.
	unexpected func(error) error
}

// dialPeer connects as a gateway and returns after the ack.
func dialPeer(ctx context.Context, t Target, g *gateway) (*peer, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", t.Gateways)
	if err != nil {
		return nil, err
	}
	p := &peer{conn: nc, tcp: nc.(*net.TCPConn), gateway: g.number, decoder: frame.Decoder{FromServer: true, Deflate: t.Deflate}}
	stop := context.AfterFunc(ctx, p.reset)
	if err := p.open(ctx, t, g); err != nil {
		p.reset()
		return nil, err
	}
	if !stop() {
		return nil, ctx.Err()
	}
	return p, nil
}

// open does the TCP, TLS and WebSocket handshakes and reads the ack.
func (p *peer) open(ctx context.Context, t Target, g *gateway) error {
	if t.TLS != nil {
		tc := tls.Client(p.tcp, t.TLS)
		if err := tc.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		p.conn = tc
	}
	request := "GET " + cmp.Or(t.GatewayPath, connectPath) + " HTTP/1.1\r\nHost: " + t.Gateways +
		"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + upgradeKey +
		"\r\napi-key: " + g.Token + "\r\n"
	if g.since != "" {
		request += "Last-Event-ID: " + g.since + "\r\n"
	}
	if t.Deflate {
		request += "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
	}
	request += "\r\n"
	if _, err := p.conn.Write([]byte(request)); err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	early, err := p.readUpgrade()
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	return p.readAck(early)
}

// readUpgrade reads the response to the upgrade request, and returns the bytes after it, in p.buf.
func (p *peer) readUpgrade() (early []byte, err error) {
	for n := 0; n < len(p.buf); {
		m, err := p.conn.Read(p.buf[n:])
		n += m
		head, early, whole := bytes.Cut(p.buf[:n], []byte("\r\n\r\n"))
		switch {
		case whole && !strings.HasPrefix(string(head), "HTTP/1.1 101 "):
			return nil, readRefusal(p.buf[:n], p.conn)
		case whole && !bytes.Contains(head, []byte(upgradeAnswer)):
			return nil, errors.New("the response has the wrong Sec-WebSocket-Accept")
		case whole && p.decoder.Deflate && !bytes.Contains(head, []byte("server_no_context_takeover")):
			return nil, errors.New("the server did not accept permessage-deflate")
		case whole:
			return early, nil
		case err != nil:
			return nil, err
		}
	}
	return nil, fmt.Errorf("the response is longer than %d bytes", len(p.buf))
}

// readAck reads the first message, which must be the ack.
func (p *peer) readAck(b []byte) error {
	for {
		m, n, err := p.decoder.Next(b, maxMessage)
		switch {
		case err != nil:
			return err
		case m.Op == frame.OpText && bytes.Contains(m.Payload, []byte(`"connection.ack"`)):
			_, cursor, _ := bytes.Cut(m.Payload, []byte(`"cursor":"`))
			cursor, _, _ = bytes.Cut(cursor, []byte(`"`))
			p.cursor, p.early = string(cursor), b[n:]
			return nil
		case m.Op != 0:
			return fmt.Errorf("the first message must be connection.ack, got %.200q", b)
		}
		n, err = p.conn.Read(p.buf[:])
		if err != nil {
			return fmt.Errorf("no connection.ack: %w", err)
		}
		b = p.buf[:n]
	}
}

// run receives until the connection ends, and returns why it ended. It calls arrived with each
// event.
func (p *peer) run(arrived func(stamp) error) error {
	early := p.early
	p.early = nil
	if err := p.take(early, arrived); err != nil {
		return err
	}
	for {
		n, err := p.conn.Read(p.buf[:])
		if err := p.take(p.buf[:n], arrived); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
}

// take handles the frames in b.
func (p *peer) take(b []byte, arrived func(stamp) error) error {
	for len(b) > 0 {
		m, n, err := p.decoder.Next(b, maxMessage)
		if err != nil {
			return err
		}
		b = b[n:]
		if err := p.message(m, arrived); err != nil {
			return err
		}
	}
	return nil
}

func (p *peer) message(m frame.Message, arrived func(stamp) error) error {
	switch m.Op {
	case frame.OpText:
		return p.event(m.Payload, arrived)
	case frame.OpPing:
		return p.pong(m.Payload)
	case frame.OpClose:
		code, reason := frame.ParseClose(m.Payload)
		return fmt.Errorf("the server closed the connection: %d %s", code, reason)
	default:
		return nil
	}
}

// event passes a valid event to arrived.
func (p *peer) event(message []byte, arrived func(stamp) error) error {
	s, err := p.next(message)
	switch {
	case err == nil && p.acks:
		if err := p.ackEvent(message); err != nil {
			return err
		}
		return arrived(s)
	case err == nil:
		return arrived(s)
	case p.unexpected != nil:
		return p.unexpected(err)
	}
	return err
}

// next checks that an event is for this gateway, and not a duplicate or out of order.
func (p *peer) next(message []byte) (stamp, error) {
	s, err := parseStamp(message)
	switch {
	case err != nil:
		return stamp{}, err
	case s.to != 0 && s.to != p.gateway:
		return stamp{}, fmt.Errorf("event %d for gateway %d arrived at gateway %d", s.n, s.to, p.gateway)
	case s.n <= p.last:
		return stamp{}, fmt.Errorf("event %d arrived after event %d: duplicate or out of order", s.n, p.last)
	}
	p.last = s.n
	return s, nil
}

// ackEvent acks an event. The id is the first field of its message.
func (p *peer) ackEvent(message []byte) error {
	id, _, _ := bytes.Cut(bytes.TrimPrefix(message, []byte(`{"id":"`)), []byte(`"`))
	ack := fmt.Appendf(nil, `{"type":"event.ack","id":"%s"}`, id)
	_, err := p.conn.Write(frame.AppendMasked(nil, frame.OpText, ack, newMask()))
	return err
}

func newMask() (mask [4]byte) {
	_, _ = rand.Read(mask[:]) // never fails
	return mask
}

func (p *peer) pong(payload []byte) error {
	_, err := p.conn.Write(frame.AppendMasked(nil, frame.OpPong, payload, newMask()))
	return err
}

// wire returns the bytes received from the socket: with TLS its records, without TCP headers.
func (p *peer) wire() (bytes uint64, err error) {
	raw, err := p.tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	return socketBytes(raw)
}

// reset closes the connection with RST. A normal close would leave thousands of ports in TIME_WAIT
// after a run.
func (p *peer) reset() {
	_ = p.tcp.SetLinger(0)
	_ = p.tcp.Close()
}
