// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gatecast/gatecast/frame"
)

// Attacks by a connected gateway.
var onceConnected = []Attack{
	{Name: "connects as a gateway and resets", Peers: 20, once: connected(func(p *peer) { p.reset() })},
	{Name: "never answers pings", Peers: 600, once: connected(func(*peer) {})},
	{Name: "half-closed connection", Peers: 50, once: connected(func(p *peer) { _ = p.tcp.CloseWrite() })},
	{Name: "incomplete frame header", Peers: 600, once: connected(func(p *peer) {
		_, _ = p.conn.Write(masked(frame.OpText, make([]byte, 60_000))[:1])
	})},
	{Name: "frame byte by byte", Peers: 600, once: connected(func(p *peer) {
		trickle(p.conn, masked(frame.OpText, bytes.Repeat([]byte("x"), 60_000)))
	})},
	{Name: "frame of 2^62 bytes", Peers: 50, once: connected(func(p *peer) {
		_, _ = p.conn.Write([]byte{0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
	})},
	{Name: "a million empty fragments", Peers: 20, once: connected(func(p *peer) {
		_, _ = p.conn.Write([]byte{0x01, 0x80, 0, 0, 0, 0}) // first fragment of a text
		more := bytes.Repeat([]byte{0x00, 0x80, 0, 0, 0, 0}, 10_000)
		pour(p.conn, func() []byte { return more })
	})},
	{Name: "fragments of a byte", Peers: 20, once: connected(func(p *peer) {
		_, _ = p.conn.Write([]byte{0x01, 0x80, 0, 0, 0, 0})
		more := bytes.Repeat([]byte{0x00, 0x81, 0, 0, 0, 0, 'x'}, 10_000)
		pour(p.conn, func() []byte { return more })
	})},
	{Name: "flood of pings", Peers: 20, once: flooding(frame.OpPing, bytes.Repeat([]byte("p"), 125))},
	{Name: "flood of pongs", Peers: 20, once: flooding(frame.OpPong, nil)},
	{Name: "flood of messages", Peers: 20, once: flooding(frame.OpText, []byte(`{"type":"event.ack","id":"k3f9-1"}`))},
	{Name: "flood of large messages", Peers: 20, once: flooding(frame.OpText, []byte(`{"type":"x","payload":"`+strings.Repeat("x", 60_000)+`"}`))},
	{Name: "JSON nested 30,000 deep", Peers: 20, once: connected(func(p *peer) {
		_, _ = p.conn.Write(masked(frame.OpText, []byte(strings.Repeat("[", 30_000)+strings.Repeat("]", 30_000))))
		more := masked(frame.OpText, []byte(strings.Repeat(`{"payload":`, 5000)))
		pour(p.conn, func() []byte { return more })
	})},
	{Name: "never reads", Peers: 4, once: neverReads(64 << 10)},
	{Name: "zero receive window", Peers: 4, once: neverReads(0)},
}

// connected returns an attack that starts after the upgrade.
func connected(do func(*peer)) func(context.Context, *peer) (Ending, error) {
	return func(ctx context.Context, p *peer) (Ending, error) {
		if err := errors.Join(p.secure(ctx), p.upgrade()); err != nil {
			return "", err
		}
		return p.whileEnding(func() { do(p) }), nil
	}
}

// flooding sends one message as fast as possible.
func flooding(op frame.OpCode, payload []byte) func(context.Context, *peer) (Ending, error) {
	return connected(func(p *peer) {
		one := masked(op, payload)
		many := bytes.Repeat(one, max(1, (64<<10)/len(one)))
		pour(p.conn, func() []byte { return many })
	})
}

// masked returns a frame of a client.
func masked(op frame.OpCode, payload []byte) []byte {
	return frame.AppendMasked(nil, op, bytes.Clone(payload), [4]byte{1, 2, 3, 4})
}

const (
	feedBytes = 64 << 10
	feedEvery = 100 * time.Millisecond
	feedTotal = 20 << 20 // larger than the send queue and all socket buffers
)

// neverReads reads none of the events that its platform publishes. room is its receive buffer in
// bytes; 0 is the smallest possible.
func neverReads(room int) func(context.Context, *peer) (Ending, error) {
	return func(ctx context.Context, p *peer) (Ending, error) {
		if err := p.tcp.SetReadBuffer(room); err != nil {
			return "", err
		}
		if err := errors.Join(p.secure(ctx), p.upgrade()); err != nil {
			return "", err
		}
		for sent := 0; sent < feedTotal; sent += feedBytes {
			if err := p.feed(ctx); err != nil {
				return "", err
			}
			_, _ = p.conn.Write(masked(frame.OpPong, nil)) // a sign of life; p.end reports a failure
			select {
			case <-time.After(feedEvery):
			case <-ctx.Done():
				return Stopped, nil
			}
		}
		return p.end(), nil
	}
}

// feed publishes an event to the gateway.
func (p *peer) feed(ctx context.Context) error {
	body := fmt.Sprintf(`{"gatewayId":%q,"type":"fill","payload":%q}`, p.target.GatewayID, strings.Repeat("x", feedBytes))
	return p.target.Platform().Do(ctx, http.MethodPost, "/events", body, http.StatusAccepted, nil)
}
