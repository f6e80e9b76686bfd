// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatecast/gatecast/frame"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/poller"

	"github.com/google/uuid"
)

// A socketRig is a router with real loops and sockets.
type socketRig struct {
	*Router
	t   *testing.T
	seq uint64
	ws  *WebSocket
}

func newHall(t *testing.T, cfg Config) *socketRig {
	cfg.Shards = 2
	cfg.Start = event.Cursor{Epoch: 7, Seq: 100}
	r, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return &socketRig{Router: r, t: t, seq: 100, ws: &WebSocket{MaxMessage: 64 << 10, ShutdownCode: 1000}}
}

// A rawClient is the far end of a connection, speaking raw frames.
type rawClient struct {
	*net.TCPConn
	t       *testing.T
	decoder frame.Decoder
	buf     []byte
	closed  chan struct{} // the server has closed the connection
}

// connect registers a connection over loopback, with bytes that came early.
func (h *socketRig) connect(gateway string, early ...byte) *rawClient {
	h.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	defer ln.Close()
	far, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	near, err := ln.Accept()
	if err != nil {
		h.t.Fatal(err)
	}
	c := poller.NewConn(near, nil)
	if err := c.Detach(); err != nil {
		h.t.Fatal(err)
	}
	g := &rawClient{TCPConn: far.(*net.TCPConn), t: h.t, decoder: frame.Decoder{FromServer: true}, closed: make(chan struct{})}
	h.t.Cleanup(func() { far.Close() })
	far.SetDeadline(time.Now().Add(20 * time.Second))
	h.Register(&Registration{
		Peer: Peer{GatewayID: gateway, Live: new(atomic.Int32), Revoked: func() (event.CloseReason, bool) { return 0, false }},
		ID:   uuid.New(), Open: h.ws.Opener(c, early, false), Closed: func() { close(g.closed) },
	})
	return g
}

// next reads the next message or control frame.
func (g *rawClient) next() frame.Message {
	g.t.Helper()
	for {
		m, n, err := g.decoder.Next(g.buf, 1<<20)
		g.buf = g.buf[n:]
		switch {
		case err != nil:
			g.t.Fatal(err)
		case m.Op != 0:
			return m
		}
		b := make([]byte, 4096)
		n, err = g.Read(b)
		if err != nil {
			g.t.Fatal(err)
		}
		g.buf = append(g.buf, b[:n]...)
	}
}

// acked reads the ack.
func (g *rawClient) acked() *rawClient {
	g.t.Helper()
	if m := g.next(); m.Op != frame.OpText || !bytes.HasPrefix(m.Payload, []byte(`{"type":"connection.ack"`)) {
		g.t.Fatalf("first frame: %v %q", m.Op, m.Payload)
	}
	return g
}

// end reads a close frame and then the end of the stream.
func (g *rawClient) end() frame.CloseCode {
	g.t.Helper()
	m := g.next()
	if m.Op != frame.OpClose {
		g.t.Fatalf("%v %q, want a close frame", m.Op, m.Payload)
	}
	code, _ := frame.ParseClose(m.Payload)
	return code
}

// waitClosed waits until both ends of the connection are closed.
func (g *rawClient) waitClosed() {
	g.t.Helper()
	if rest, err := io.ReadAll(g); err != nil || len(rest)+len(g.buf) > 0 {
		g.t.Errorf("after the close frame: %q %q, %v", g.buf, rest, err)
	}
	g.Close()
	<-g.closed
}

func masked(op frame.OpCode, payload string) []byte {
	return frame.AppendMasked(nil, op, []byte(payload), [4]byte{1, 2, 3, 4})
}

func TestWebSocketRefusesBadMessages(t *testing.T) {
	for _, c := range []struct {
		name string
		send []byte
		want frame.CloseCode
	}{
		{"not masked", frame.Append(nil, frame.OpText, []byte("{}")), 1002},
		{"reserved bit", append([]byte{0xc1}, masked(frame.OpText, "{}")[1:]...), 1002},
		{"continuation of nothing", append([]byte{0x80}, masked(frame.OpText, "{}")[1:]...), 1002},
		{"binary", masked(frame.OpBinary, "{}"), 1003},
		{"not UTF-8", masked(frame.OpText, "{\"\xff\"}"), 1007},
		{"not JSON", masked(frame.OpText, "{"), 1007},
		{"too big", masked(frame.OpText, strings.Repeat("x", 64<<10+1)), 1009},
		{"bad close code", masked(frame.OpClose, "\x03\xed"), 1002},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newHall(t, Config{}).connect("g").acked()
			g.Write(c.send)
			if code := g.end(); code != c.want {
				t.Errorf("closed with %d, want %d", code, c.want)
			}
			g.Write(masked(frame.OpClose, string(frame.AppendCloseBody(nil, c.want, ""))))
			g.waitClosed()
		})
	}
}

func TestWebSocketCloses(t *testing.T) {
	g := newHall(t, Config{}).connect("g").acked()
	g.Write(masked(frame.OpClose, "\x0f\xa0going")) // 4000
	if code := g.end(); code != 4000 {
		t.Errorf("code %d comes back, want 4000", code)
	}
	g.waitClosed()
}

func TestWebSocketPong(t *testing.T) {
	g := newHall(t, Config{}).connect("g").acked()
	for i := range 0x7d {
		g.Write(masked(frame.OpPing, strings.Repeat("p", i)))
		if m := g.next(); m.Op != frame.OpPong || len(m.Payload) != i {
			t.Fatalf("%v with %d bytes, want a pong with %d", m.Op, len(m.Payload), i)
		}
	}
}

// Frames that came with the request are decoded before those that follow.
func TestWebSocketEarlyBytes(t *testing.T) {
	ping := masked(frame.OpPing, "early")
	g := newHall(t, Config{}).connect("g", ping[:3]...)
	g.Write(ping[3:])
	for {
		if m := g.next(); m.Op == frame.OpPong {
			if string(m.Payload) != "early" {
				t.Errorf("pong %q", m.Payload)
			}
			return
		}
	}
}

// A close frame waits for the peer's answer, and not for ever.
func TestWebSocketCloseHandshake(t *testing.T) {
	h := newHall(t, Config{CloseTimeout: 2 * tick})
	polite, silent := h.connect("g").acked(), h.connect("g").acked()
	h.Kick("g", "", event.GatewayRemoved)
	for _, g := range []*rawClient{polite, silent} {
		if code := g.end(); code != 1008 {
			t.Errorf("code %d, want 1008", code)
		}
	}
	polite.Write(masked(frame.OpClose, "\x03\xf0"))
	polite.waitClosed()
	<-silent.closed
}

// One event to many, and many to one, over real sockets.
func TestWebSocketDelivers(t *testing.T) {
	h := newHall(t, Config{})
	const gateways, events = 50, 40
	var guests []*rawClient
	for i := range gateways {
		guests = append(guests, h.connect(fmt.Sprint("g", i)).acked())
	}
	for i := range events {
		h.seq++
		target := event.Target{All: true}
		if i%4 == 3 {
			target = event.Target{GatewayIDs: []string{"g7"}}
		}
		body := fmt.Appendf(nil, `{"type":"t","payload":%d}`, i)
		h.Dispatch(target, NewMessage(event.Cursor{Epoch: 7, Seq: h.seq}, "", body, 0))
	}
	for n, g := range guests {
		for i := range events {
			if i%4 == 3 && n != 7 {
				continue
			}
			want := fmt.Sprintf(`{"id":"7-%d","type":"t","payload":%d}`, 101+i, i)
			if m := g.next(); string(m.Payload) != want {
				t.Fatalf("guest %d got %q, want %s", n, m.Payload, want)
			}
		}
	}
}

func TestNewMessageAllocatesOnce(t *testing.T) {
	body := []byte(`{"type":"api.deployed","payload":{"apiId":"weather"},"gatewayId":"g"}`)
	c := event.Cursor{Epoch: 1 << 40, Seq: 12345}
	m := NewMessage(c, "", body, 1)
	if len(m.Wire) != cap(m.Wire) {
		t.Errorf("%d bytes in a slice for %d", len(m.Wire), cap(m.Wire))
	}
	if want := string(event.AppendWithID(nil, body, c)); string(m.Body) != want {
		t.Errorf("body %s, want %s", m.Body, want)
	}
}

// A dispatcher that is far ahead of a shard waits for it, and loses nothing.
func TestDispatchWaitsForRoom(t *testing.T) {
	h := newHall(t, Config{SendQueueBytes: 1 << 30})
	g := h.connect("g").acked()
	sh := h.shardOf("g")
	blocked, release := make(chan struct{}), make(chan struct{})
	sh.post(command{do: func(*state) { close(blocked); <-release }})
	<-blocked
	const events = 3 * maxInbox / 2
	dispatched := make(chan struct{})
	go func() {
		defer close(dispatched)
		for i := range events {
			c := event.Cursor{Epoch: 7, Seq: uint64(101 + i)}
			h.Dispatch(event.Target{GatewayIDs: []string{"g"}}, NewMessage(c, "", []byte(`{"type":"t"}`), 0))
		}
	}()
	for !sh.waiting.Load() { // wait until the inbox is full
		runtime.Gosched()
	}
	if depth := sh.depth.Load(); depth < maxInbox || depth > maxInbox+1 {
		t.Errorf("the dispatcher waits with %d in the inbox, want %d", depth, maxInbox)
	}
	close(release)
	for i := range events {
		want := fmt.Sprintf(`{"id":"7-%d","type":"t"}`, 101+i)
		if m := g.next(); string(m.Payload) != want {
			t.Fatalf("got %q, want %s", m.Payload, want)
		}
	}
	<-dispatched
	h.CloseConnection(uuid.Nil) // each shard answers this command, so it has settled
	if depth := sh.depth.Load(); depth > 1 {
		t.Errorf("%d still counted as waiting", depth)
	}
}

// A peer that exceeds the limit gets the reason, though it keeps sending.
func TestWebSocketFlood(t *testing.T) {
	for name, frame := range map[string][]byte{
		"messages": masked(frame.OpText, `{"type":"x"}`), "pings": masked(frame.OpPing, ""), "bytes": masked(frame.OpPong, strings.Repeat("x", 125)),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, Config{ReadMessages: 1, ReadBytes: 2000})
			g := h.connect("g").acked()
			_, _ = g.Write(bytes.Repeat(frame, 500))
			if code := g.end(); code != 1008 {
				t.Errorf("code %d", code)
			}
		})
	}
}
