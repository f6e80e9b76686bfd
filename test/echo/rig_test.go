// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/front"

	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// The vocabulary of the cases. Frames are made and read with gobwas/ws, not with
// the code under test.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A conversation is what a client sends, and all that it must get back.
type conversation struct {
	name string
	send []byte
	chop int // bytes a write; 0: all in one
	want []string
}

const (
	text   = ws.OpText
	binary = ws.OpBinary
	more   = ws.OpContinuation
	ping   = ws.OpPing
	pong   = ws.OpPong
)

var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// part is a frame that another follows, final one that ends its message.
func part(op ws.OpCode, payload string) []byte  { return masked(op, false, 0, payload) }
func final(op ws.OpCode, payload string) []byte { return masked(op, true, 0, payload) }

// reserved is a frame with reserved bits.
func reserved(rsv byte, op ws.OpCode, payload string) []byte { return masked(op, true, rsv, payload) }

func masked(op ws.OpCode, fin bool, rsv byte, payload string) []byte {
	f := ws.NewFrame(op, fin, []byte(payload))
	f.Header.Rsv = rsv
	return ws.MustCompileFrame(ws.MaskFrameWith(f, mask))
}

// closing is a close frame with a code.
func closing(code int, reason string) []byte {
	return final(ws.OpClose, string([]byte{byte(code >> 8), byte(code)})+reason)
}

// clientClose is the close frame of a client that has seen no error.
var clientClose = closing(1000, "")

// fragmented cuts a message into frames of size bytes.
func fragmented(op ws.OpCode, payload string, size int) (wire []byte) {
	for len(payload) > size {
		wire = append(wire, part(op, payload[:size])...)
		payload, op = payload[size:], more
	}
	return append(wire, final(op, payload)...)
}

func join(frames ...[]byte) []byte { return slices.Concat(frames...) }

// got is a line for a whole frame of the server's.
func got(op ws.OpCode, payload string) string {
	name := map[ws.OpCode]string{text: "text", binary: "binary", ping: "ping", pong: "pong"}[op]
	if len(payload) > 200 {
		return fmt.Sprintf("%s of %d bytes, %08x", name, len(payload), crc32.ChecksumIEEE([]byte(payload)))
	}
	return fmt.Sprintf("%s %q", name, payload)
}

func closed(code int) string { return fmt.Sprint("close ", code) }

// fine is a conversation that the client ends.
func fine(name string, send []byte, echoed ...string) conversation {
	return conversation{name, join(send, clientClose), 0, append(echoed, closed(1000))}
}

// fails is one that the server ends, on the last byte of what is sent or before it.
func fails(name string, code int, send []byte, echoed ...string) conversation {
	return conversation{name, send, 0, append(echoed, closed(code))}
}

// chopped is the conversation in writes of n bytes.
func (c conversation) chopped(n int) conversation {
	c.name, c.chop = fmt.Sprintf("%s, %d bytes a write", c.name, n), n
	return c
}

// inPieces is the conversation in one write, and in writes of a byte.
func (c conversation) inPieces() []conversation { return []conversation{c, c.chopped(1)} }

// A host is an echo server.
type host struct {
	*server
	addr string
	tls  bool
}

func newHost(t *testing.T, useTLS, compression bool) *host {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(ln, useTLS, compression)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return &host{s, ln.Addr().String(), useTLS}
}

// both runs a test against a server without TLS and against one with.
func both(t *testing.T, test func(*testing.T, *host)) {
	for _, useTLS := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "tls"}[useTLS], func(t *testing.T) { test(t, newHost(t, useTLS, false)) })
	}
}

// dial returns an upgraded connection, and what reads it.
func (h *host) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	if h.tls {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", front.ConnectPath)
	r := bufio.NewReaderSize(c, 64<<10)
	for line := "-"; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "HTTP/") && !strings.Contains(line, " 101 ") {
			t.Fatal(line)
		}
	}
	return c, r
}

// run has the conversation, and compares all that comes back with what is wanted.
// After the last frame the server must end the stream in order.
func (h *host) run(t *testing.T, talk conversation) {
	t.Helper()
	c, r := h.dial(t)
	sent := make(chan error, 1)
	go func() { sent <- talk.write(c) }()
	heard, err := listen(r)
	if err != nil {
		t.Error(err)
	}
	if err := <-sent; err != nil {
		t.Errorf("sending: %v", err)
	}
	if diff := cmp.Diff(talk.want, heard); diff != "" {
		t.Errorf("want(-), got(+):\n%s", diff)
	}
}

func (c conversation) write(w io.Writer) error {
	size := c.chop
	if size == 0 {
		size = max(len(c.send), 1)
	}
	for piece := range slices.Chunk(c.send, size) {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// listen reads frames to the end of the stream.
func listen(r io.Reader) (lines []string, err error) {
	for {
		h, err := ws.ReadHeader(r)
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		if !h.Fin || h.Rsv != 0 || h.Masked {
			return lines, fmt.Errorf("a frame that a server should not send: %+v", h)
		}
		var payload bytes.Buffer
		if _, err := io.CopyN(&payload, r, h.Length); err != nil {
			return lines, err
		}
		lines = append(lines, line(h.OpCode, payload.Bytes()))
	}
}

func line(op ws.OpCode, payload []byte) string {
	switch {
	case op != ws.OpClose:
		return got(op, string(payload))
	case len(payload) == 0:
		return "close"
	}
	code, _ := ws.ParseCloseFrameData(payload)
	return closed(int(code))
}
