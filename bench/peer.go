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
	// connectTimeout bounds a connect, from the first packet to the ack.
	connectTimeout = 30 * time.Second
	// readBuffer is what a peer reads into. There is one a connection, so it is
	// small.
	readBuffer = 4 << 10
	maxMessage = 1 << 20
)

// The key and its answer are the example of RFC 6455 section 1.3. A client in
// the field draws its keys at random; here they are constant so that checking
// the answer costs nothing.
const (
	upgradeKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	upgradeAnswer = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// A peer is one connection as a gateway. It belongs to the goroutine that dials
// it, and then to the one that runs it; anyone may hangUp.
type peer struct {
	conn    net.Conn // TLS, where there is TLS
	tcp     *net.TCPConn
	gateway int64 // its number
	decoder frame.Decoder
	buf     [readBuffer]byte
	behind  []byte // what came with the ack, in buf
	cursor  string // of the ack: the events behind it will come; empty if it had none
	last    int64  // number of the newest event received
	acks    bool   // it acks what it receives
	// misfit says what to do about a message that should not have come: nil, for
	// nothing, or the error to end with. A peer without one ends with any.
	misfit func(error) error
}

// dialPeer connects as a gateway and returns when the ack is in.
func dialPeer(ctx context.Context, t Target, g *gateway) (*peer, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", t.Gateways)
	if err != nil {
		return nil, err
	}
	p := &peer{conn: nc, tcp: nc.(*net.TCPConn), gateway: g.number, decoder: frame.Decoder{FromServer: true, Deflate: t.Deflate}}
	stop := context.AfterFunc(ctx, p.hangUp)
	if err := p.open(ctx, t, g); err != nil {
		p.hangUp()
		return nil, err
	}
	if !stop() {
		return nil, ctx.Err()
	}
	return p, nil
}

// open does the handshakes and reads the ack.
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

// readUpgrade reads the answer to the upgrade and returns what came behind it,
// which lies in p.buf.
func (p *peer) readUpgrade() (early []byte, err error) {
	for n := 0; n < len(p.buf); {
		m, err := p.conn.Read(p.buf[n:])
		n += m
		head, early, whole := bytes.Cut(p.buf[:n], []byte("\r\n\r\n"))
		switch {
		case whole && !strings.HasPrefix(string(head), "HTTP/1.1 101 "):
			return nil, readRefusal(p.buf[:n], p.conn)
		case whole && !bytes.Contains(head, []byte(upgradeAnswer)):
			return nil, errors.New("the answer's Sec-WebSocket-Accept is not that of our key")
		case whole && p.decoder.Deflate && !bytes.Contains(head, []byte("server_no_context_takeover")):
			return nil, errors.New("the server does not compress")
		case whole:
			return early, nil
		case err != nil:
			return nil, err
		}
	}
	return nil, fmt.Errorf("the answer is longer than %d bytes", len(p.buf))
}

// readAck reads up to the first message, which must be the ack.
func (p *peer) readAck(b []byte) error {
	for {
		m, n, err := p.decoder.Next(b, maxMessage)
		switch {
		case err != nil:
			return err
		case m.Op == frame.OpText && bytes.Contains(m.Payload, []byte(`"connection.ack"`)):
			_, cursor, _ := bytes.Cut(m.Payload, []byte(`"cursor":"`))
			cursor, _, _ = bytes.Cut(cursor, []byte(`"`))
			p.cursor, p.behind = string(cursor), b[n:]
			return nil
		case m.Op != 0:
			return fmt.Errorf("want connection.ack first; got %.200q", b)
		}
		n, err = p.conn.Read(p.buf[:])
		if err != nil {
			return fmt.Errorf("no connection.ack: %w", err)
		}
		b = p.buf[:n]
	}
}

// run receives until the connection ends, and returns why it did. It calls
// arrived with each event.
func (p *peer) run(arrived func(stamp) error) error {
	behind := p.behind
	p.behind = nil
	if err := p.take(behind, arrived); err != nil {
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

// take handles what is in b.
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

// event reports an event that is as it should be.
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
	case p.misfit != nil:
		return p.misfit(err)
	}
	return err
}

// next checks that an event is for this gateway and none that was here before.
func (p *peer) next(message []byte) (stamp, error) {
	s, err := parseStamp(message)
	switch {
	case err != nil:
		return stamp{}, err
	case s.to != 0 && s.to != p.gateway:
		return stamp{}, fmt.Errorf("event %d is for gateway %d and came to gateway %d", s.n, s.to, p.gateway)
	case s.n <= p.last:
		return stamp{}, fmt.Errorf("event %d after event %d: it is a duplicate, or out of order", s.n, p.last)
	}
	p.last = s.n
	return s, nil
}

// ackEvent acks an event, whose id is the first thing in its message.
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

// wire returns how many bytes have come in from the socket: records of TLS, where
// there is TLS, and all else that is not TCP's own.
func (p *peer) wire() (bytes uint64, err error) {
	raw, err := p.tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	return socketBytes(raw)
}

// hangUp resets the connection. A proper close would leave thousands of ports in
// TIME_WAIT behind a run.
func (p *peer) hangUp() {
	_ = p.tcp.SetLinger(0)
	_ = p.tcp.Close()
}
